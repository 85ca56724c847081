//! Commands whose arguments are wrong.

use std::fmt;

use crate::recipe::diagnostics::Diagnostics;
use crate::run::interrupt::is_interrupt;

/// The error of a wrong command or of wrong files; the program ends with 2, as it does for a wrong recipe.
#[derive(Debug)]
pub struct UsageError(String);

impl UsageError {
    pub fn new(says: String) -> Self {
        Self(says)
    }

    /// Errors with `says` unless `sound`.
    pub fn unless(sound: bool, says: impl FnOnce() -> String) -> Result<(), Self> {
        if sound { Ok(()) } else { Err(Self(says())) }
    }
}

/// The error as that of wrong input, which the program ends with 2 for; what was found wrong in a recipe stays
/// as it is.
pub fn wrong_input(error: anyhow::Error) -> anyhow::Error {
    if error.is::<Diagnostics>() || error.is::<UsageError>() || is_interrupt(&error) {
        return error;
    }
    UsageError(causes(&error)).into()
}

/// The error and its causes, each on a line of its own.
pub fn causes(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).collect::<Vec<_>>().join("\n  ")
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
