//! Ctrl-C (and SIGTERM): the first one asks the run to save and stop, the second ends it at once.

use std::fmt;
use std::process;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};

use crate::terminal::tell;

/// Exit code of an interrupted run, as shells use it.
pub const EXIT_CODE: u8 = 130;

/// Whether someone asked the run to stop. All clones of it agree.
#[derive(Debug, Clone, Default)]
pub struct Interrupt(Arc<AtomicBool>);

/// The error with which work stops that was asked to stop.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

impl Interrupt {
    /// Listens to signals from now on.
    pub fn on_signals() -> Result<Self> {
        let interrupt = Self::default();
        let requested = interrupt.clone();
        ctrlc::set_handler(move || {
            if requested.0.swap(true, Ordering::SeqCst) {
                process::exit(EXIT_CODE.into());
            }
            tell("\ninterrupted: saving after this step (again to stop at once)");
        })
        .context("cannot listen to Ctrl-C")?;
        Ok(interrupt)
    }

    /// Asks the run to stop.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    pub fn requested(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }

    /// Errors with [`Interrupted`] once someone has asked the run to stop.
    pub fn check(&self) -> Result<()> {
        if self.requested() { Err(Interrupted.into()) } else { Ok(()) }
    }
}

/// Whether `error` is, or wraps, [`Interrupted`].
pub fn is_interrupt(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.is::<Interrupted>())
}
