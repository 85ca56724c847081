//! Commands whose arguments are wrong.

use std::fmt;

/// The error of a wrong command; the program ends with 2, as it does for a wrong recipe.
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

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}
