//! From how a command ended to the program's exit code.
//!
//! | code | means |
//! |---|---|
//! | 0 | done |
//! | 1 | a stage failed |
//! | 2 | the recipe, a file or the command is wrong |
//! | 130 | interrupted, after a checkpoint |

use std::io::{ErrorKind, IsTerminal, stderr};
use std::process::ExitCode;

use anyhow::{Error, Result};

use super::usage_error::{UsageError, causes};
use crate::recipe::diagnostics::Diagnostics;
use crate::run::interrupt::{self, is_interrupt};
use crate::terminal::tell;

/// From now on, a file that grows past the limit that the system sets for files (`ulimit -f`) is an error of
/// writing it, which is told, and not the end of the program.
pub fn outlive_limits() {
    #[cfg(unix)]
    // SAFETY: ignoring a signal installs no handler, and no other thread is there yet.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
    }
}

/// Prints what went wrong, and says so in the exit code.
pub fn code(result: Result<()>) -> ExitCode {
    let Err(error) = result else { return ExitCode::SUCCESS };
    if is_interrupt(&error) {
        tell("stopped; the same command goes on from here");
        return ExitCode::from(interrupt::EXIT_CODE);
    }
    if reader_left(&error) {
        return ExitCode::SUCCESS;
    }
    if let Some(diagnostics) = error.downcast_ref::<Diagnostics>() {
        let coloured = stderr().is_terminal();
        diagnostics.tell(coloured);
        return ExitCode::from(2);
    }
    tell(&format!("error: {}", causes(&error)));
    ExitCode::from(if error.is::<UsageError>() { 2 } else { 1 })
}

/// Whether a reader of our output (`| head`) has seen enough.
fn reader_left(error: &Error) -> bool {
    let io = error.chain().find_map(|cause| cause.downcast_ref::<std::io::Error>());
    io.is_some_and(|io| io.kind() == ErrorKind::BrokenPipe)
}
