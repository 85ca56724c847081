//! Comma-separated values under a header. Every cell is text, but for lists of turns, which data
//! sets write as JSON into a cell; an empty cell of a record is no value.

use std::io::BufRead;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use csv::ErrorKind;
use serde_json::{Map, Value};

use super::open::read_error;
use super::{RawRow, Sink};
use crate::data::reason::Reason;

pub fn for_each_row(path: &Path, reader: impl BufRead, sink: &mut Sink) -> Result<()> {
    let mut csv = csv::Reader::from_reader(reader);
    let file_error = |line: usize, error: csv::Error| match error.into_kind() {
        ErrorKind::Io(error) => read_error(path, line, &error),
        other => anyhow!("`{}`: {other:?}", path.display()),
    };
    let header = csv.byte_headers().map_err(|error| file_error(0, error))?.clone();
    let Some(header) = header.iter().map(|name| std::str::from_utf8(name).ok()).collect::<Option<Vec<_>>>()
    else {
        bail!("`{}`: the header is not UTF-8", path.display());
    };
    let header: Vec<&str> =
        header.into_iter().map(|name| name.trim_start_matches('\u{feff}').trim()).collect();
    let mut record = csv::ByteRecord::new();
    for line in 1.. {
        let object = match csv.read_byte_record(&mut record) {
            Ok(false) => break,
            Ok(true) => cells(&header, &record),
            Err(error) => match error.kind() {
                ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    Err(Reason::NotCsv(format!("{len} cells under a header of {expected_len}")))
                }
                _ => return Err(file_error(line - 1, error)),
            },
        };
        if sink(RawRow { line, object })?.is_break() {
            break;
        }
    }
    Ok(())
}

fn cells(header: &[&str], record: &csv::ByteRecord) -> Result<Map<String, Value>, Reason> {
    let mut map = Map::new();
    for (&name, cell) in header.iter().zip(record) {
        let cell = std::str::from_utf8(cell).map_err(|_| Reason::NotUtf8)?;
        if let Some(value) = value(name, cell) {
            map.insert(name.to_owned(), value);
        }
    }
    Ok(map)
}

fn value(name: &str, cell: &str) -> Option<Value> {
    // Empty answers and prompts are rows of no use, not rows without the column.
    let optional = matches!(name, "system" | "input" | "history" | "tools" | "margin");
    if cell.is_empty() && optional {
        return None;
    }
    if name == "margin" {
        return Some(cell.trim().parse::<f64>().map_or_else(|_| cell.into(), Value::from));
    }
    let parsed = cell.starts_with(['[', '{']).then(|| serde_json::from_str::<Value>(cell).ok());
    match parsed.flatten() {
        Some(parsed) if name == "tools" || is_turns(&parsed) => Some(parsed),
        _ => Some(Value::String(cell.to_owned())),
    }
}

/// Whether a value is a list of messages, or of `[question, answer]` pairs.
fn is_turns(value: &Value) -> bool {
    let is_message = |turn: &Value| turn.get("role").is_some() || turn.get("from").is_some();
    let is_pair = |turn: &Value| {
        turn.as_array().is_some_and(|pair| pair.len() == 2 && pair.iter().all(Value::is_string))
    };
    is_message(value)
        || value.as_array().is_some_and(|turns| {
            !turns.is_empty() && (turns.iter().all(is_message) || turns.iter().all(is_pair))
        })
}
