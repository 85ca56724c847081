//! From how a command ended to the program's exit code.
//!
//! | code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | a stage failed |
//! | 2 | the recipe or the command is wrong |
//! | 130 | interrupted, after a checkpoint |

use std::io::{ErrorKind, IsTerminal, stderr};
use std::process::ExitCode;

use anyhow::{Error, Result};

use super::usage_error::UsageError;
use crate::recipe::diagnostics::Diagnostics;
use crate::run::interrupt::{self, is_interrupt};

/// Prints what went wrong, and says so in the exit code.
pub fn code(result: Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_interrupt(&error) {
        eprintln!("stopped; the same command goes on from here");
        return ExitCode::from(interrupt::EXIT_CODE);
    }
    if reader_left(&error) {
        return ExitCode::SUCCESS;
    }
    if let Some(diagnostics) = error.downcast_ref::<Diagnostics>() {
        let coloured = stderr().is_terminal();
        eprintln!("{}", if coloured { diagnostics.coloured() } else { diagnostics.to_string() });
        return ExitCode::from(2);
    }
    eprintln!("error: {}", told(&error));
    ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
}

/// The error and its causes, each on a line of its own.
fn told(error: &Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

/// Whether a reader of our output (`| head`) has seen enough.
fn reader_left(error: &Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
}
