//! The command line: one file a subcommand.

pub mod marked;
pub mod render;
pub mod schema;
