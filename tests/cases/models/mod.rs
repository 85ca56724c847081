//! Model folders as people have them: each loads as transformers loads it, or is refused by name before
//! a run, with what to do about it.

mod commands;
pub mod folder;
mod losses;
mod refused;
mod sound;
mod tokenizers;
mod tokens;
