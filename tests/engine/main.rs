//! The engine against TRL and transformers, and against itself.

mod forward;
mod invariance;
mod reproduce;
mod trace;
