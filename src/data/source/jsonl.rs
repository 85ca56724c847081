//! Files with one JSON object per line. Blank lines are not rows.

use std::io::BufRead;
use std::path::Path;

use anyhow::{Result, bail};

use super::open::read_error;
use super::{RawRow, Sink, object};
use crate::data::reason::RowReason;

pub fn for_each_row(path: &Path, mut reader: impl BufRead, sink: &mut Sink) -> Result<()> {
    let mut bytes = Vec::new();
    let mut is_first = true;
    for line in 1.. {
        bytes.clear();
        let read = reader.read_until(b'\n', &mut bytes);
        if read.map_err(|error| read_error(path, line - 1, &error))? == 0 {
            break;
        }
        let content = match line {
            1 => bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes),
            _ => &bytes,
        };
        if content.trim_ascii().is_empty() {
            continue;
        }
        if std::mem::take(&mut is_first)
            && let Some(remedy) = goes_on(content.trim_ascii())
        {
            bail!("`{}`: expected one row a line; the first line is half of one: {remedy}", path.display());
        }
        if sink(row(line, content))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Advice about a file whose first line opens a list or an object that goes on in the next lines.
fn goes_on(first: &[u8]) -> Option<&'static str> {
    match first {
        b"[" | b"[{" => Some("a list of rows stands in a file named `.json`"),
        b"{" => Some("write each object on a line of its own"),
        _ => None,
    }
}

fn row(line: usize, content: &[u8]) -> RawRow {
    let Ok(text) = std::str::from_utf8(content) else {
        return RawRow { line, object: Err(RowReason::NotUtf8) };
    };
    match serde_json::from_str(text) {
        Ok(value) => object(line, value),
        Err(error) => RawRow { line, object: Err(RowReason::NotJson(at_column(&error))) },
    }
}

/// The error with its column but without its line, which is always 1: the line of the row is known
/// otherwise.
fn at_column(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("{what} at column {}", error.column())
}
