//! `strftime_now`: the time of a run, written by `strftime`'s codes.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use minijinja::{Error, ErrorKind};

/// `now.strftime(format)`. Errors at a code that is not known.
pub fn strftime(now: DateTime, format: &str) -> Result<String, Error> {
    let mut text = String::new();
    BrokenDownTime::from(now).format(format, &mut text).map_err(|error| {
        let detail = format!("strftime_now cannot write `{format}`: {error}");
        Error::new(ErrorKind::InvalidOperation, detail)
    })?;
    Ok(text)
}
