//! From files to rows that the engine can train on.

pub mod example;
pub mod spec;
