//! The program: reads the command line, does what it says, and ends with the code that tells how.

use std::process::ExitCode;

use clap::Parser;
use runner::cli::{Cli, exit};

fn main() -> ExitCode {
    runner::backend::memory::keep_freed_memory();
    exit::outlive_limits();
    let cli = Cli::parse();
    // On a thread of the pool itself: from outside, each parallel loop would wake a thread to begin with
    // and another to end with.
    rayon::scope(|_| exit::code(cli.run()))
}
