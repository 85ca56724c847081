//! One JSON object a line. Blank lines are not rows.

use std::io::BufRead;
use std::path::Path;

use anyhow::Result;

use super::open::read_error;
use super::{RawRow, Sink, object};
use crate::data::reason::Reason;

pub fn for_each_row(path: &Path, mut reader: impl BufRead, sink: &mut Sink) -> Result<()> {
    let mut bytes = Vec::new();
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
        if sink(row(line, content))?.is_break() {
            break;
        }
    }
    Ok(())
}

fn row(line: usize, content: &[u8]) -> RawRow {
    let Ok(text) = std::str::from_utf8(content) else {
        return RawRow { line, object: Err(Reason::NotUtf8) };
    };
    match serde_json::from_str(text) {
        Ok(value) => object(line, value),
        Err(error) => RawRow { line, object: Err(Reason::NotJson(at_column(&error))) },
    }
}

/// The error with its column alone: its line is always 1, that of the row is known better.
fn at_column(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let what = text.split(" at line ").next().unwrap_or_default();
    format!("{what} at column {}", error.column())
}
