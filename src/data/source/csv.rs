//! Comma-separated values under a header. Every cell is text. Cells that hold JSON or numbers are read as
//! such later, depending on the name of their column.

use std::io::BufRead;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use csv::ErrorKind;
use serde_json::{Map, Value};

use super::lines::Noting;
use super::open::read_error;
use super::{RawRow, Sink};
use crate::data::reason::RowReason;

pub fn for_each_row(path: &Path, reader: impl BufRead, sink: &mut Sink) -> Result<()> {
    let (noting, lines) = Noting::new(reader);
    let mut csv = csv::Reader::from_reader(noting);
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
    let mut line = 1;
    loop {
        let start = csv.position().byte();
        let read = csv.read_byte_record(&mut record);
        let line_before = std::mem::replace(&mut line, lines.at(start));
        let object = match read {
            Ok(false) => break,
            Ok(true) => cells(&header, &record),
            Err(error) => match error.kind() {
                ErrorKind::UnequalLengths { expected_len, len, .. } => {
                    Err(RowReason::NotCsv(format!("{len} cells under a header of {expected_len}")))
                }
                _ => return Err(file_error(line_before, error)),
            },
        };
        if sink(RawRow { line, object })?.is_break() {
            break;
        }
    }
    Ok(())
}

fn cells(header: &[&str], record: &csv::ByteRecord) -> Result<Map<String, Value>, RowReason> {
    let mut map = Map::new();
    for (&name, cell) in header.iter().zip(record) {
        let cell = std::str::from_utf8(cell).map_err(|_| RowReason::NotUtf8)?;
        map.insert(name.to_owned(), cell.into());
    }
    Ok(map)
}
