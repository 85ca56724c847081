//! Adapters of others: what can be read computes what PEFT computes, the rest is refused by name, and a
//! check says the same as a run. The values are those of `made::value`; PEFT's numbers for them come from
//! `tests/interop/adapters.py`, which makes the same adapters.

pub mod made;
mod options;
mod property;
mod read;
pub mod workspace;
