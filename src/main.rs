//! The program: reads the command line, does what it says, and ends with the code that tells how.

use std::process::ExitCode;

use clap::Parser;
use runner::cli::{Cli, exit};

fn main() -> ExitCode {
    runner::backend::memory::keep_freed_memory();
    exit::code(Cli::parse().run())
}
