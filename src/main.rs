//! The program: reads the command line, does what it says, and ends with the code that tells how.

use std::process::ExitCode;

use clap::Parser;
use runner::cli::{Cli, exit};

/// Bytes of stack of each thread of the pool: four times what threads have by default.
const STACK: usize = 8 << 20;

fn main() -> ExitCode {
    runner::backend::memory::keep_freed_memory();
    exit::outlive_limits();
    let cli = Cli::parse();
    // If the pool cannot be made so, it is made with the usual stacks, which all that is bounded fits, too.
    rayon::ThreadPoolBuilder::new().stack_size(STACK).build_global().ok();
    // On a thread of the pool itself: from outside, each parallel loop would wake a thread to begin with
    // and another to end with.
    rayon::scope(|_| exit::code(cli.run()))
}
