//! Comma-separated values under a header. Every cell is text. Cells that hold JSON or numbers are read as
//! such later, depending on the name of their column.

use std::io::BufRead;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::open::read_error;
use super::records::{Cells, Record, Records};
use super::{RawContent, RawRow, Sink};
use crate::data::reason::RowReason;

/// The names of the columns.
#[derive(Debug, PartialEq, Eq)]
pub struct Header {
    names: Vec<String>,
    /// Whether several columns have no name.
    has_unnamed: bool,
}

pub fn for_each_row(path: &Path, mut reader: impl BufRead, bound: usize, sink: &mut Sink) -> Result<()> {
    skip_mark(&mut reader).map_err(|error| read_error(path, 0, &error))?;
    let mut records = Records::new(reader, bound);
    let mut header = None;
    loop {
        let line = records.line();
        let record =
            records.next_record().map_err(|error| read_error(path, line.saturating_sub(1), &error))?;
        let (line, content) = match record {
            Record::End => return Ok(()),
            Record::OpenQuote { line, ends } => bail!("{}", open_quote(path, line, ends, bound)),
            Record::TooLong { line } => (line, Err(RowReason::TooLong { bound })),
            Record::AfterQuote { line, cell } => {
                let what = format!(
                    "cell {cell} goes on after its closing quotation mark: double each quotation mark within a \
                     cell (`\"\"`), and close the cell at its end"
                );
                (line, Err(RowReason::NotCsv(what)))
            }
            Record::Whole { line, cells } => (line, Ok(cells)),
        };
        let Some(header) = &header else {
            let cells =
                content.map_err(|reason| anyhow::anyhow!("`{}`: the header: {reason}", path.display()))?;
            header = Some(Arc::new(self::header(path, &cells)?));
            continue;
        };
        let content = match content {
            Ok(cells) => RawContent::Cells(Arc::clone(header), cells),
            Err(reason) => RawContent::Refused(reason),
        };
        if sink(RawRow { line, content })?.is_break() {
            return Ok(());
        }
    }
}

/// Passes over the byte order mark that some programs write first.
fn skip_mark(reader: &mut impl BufRead) -> std::io::Result<()> {
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(())
}

fn open_quote(path: &Path, line: usize, ends: bool, bound: usize) -> String {
    let path = path.display();
    let remedy = "close it, and double each quotation mark within a cell (`\"\"`)";
    match ends {
        true => format!(
            "`{path}` line {line}: a quotation mark opens a cell here and is never closed, so that the cell \
             takes the rest of the file; {remedy}"
        ),
        false => format!(
            "`{path}` line {line}: a quotation mark opens a cell here and is not closed within {bound} bytes \
             (`max_row_bytes`); {remedy}, or raise `max_row_bytes`"
        ),
    }
}

/// The names in the first record. Errors if two columns have one name.
fn header(path: &Path, cells: &Cells) -> Result<Header> {
    let path = path.display();
    let mut names: Vec<String> = Vec::with_capacity(cells.len());
    let mut places = std::collections::HashMap::new();
    for (place, name) in cells.iter().enumerate() {
        let Ok(name) = std::str::from_utf8(name) else { bail!("`{path}`: the header is not UTF-8") };
        let name = name.trim_start_matches('\u{feff}').trim();
        let before = places.insert(name.to_owned(), place);
        if let (Some(before), false) = (before, name.is_empty()) {
            bail!(
                "`{path}`: columns {} and {} of the header are both called `{name}`, and only one of them would \
                 be read; rename one",
                before + 1,
                place + 1
            );
        }
        names.push(name.to_owned());
    }
    let has_unnamed = names.iter().filter(|name| name.is_empty()).nth(1).is_some();
    Ok(Header { names, has_unnamed })
}

/// The row under the header.
pub fn object(header: &Header, cells: &Cells) -> Result<Map<String, Value>, RowReason> {
    let (wanted, found) = (header.names.len(), cells.len());
    if wanted != found {
        return Err(RowReason::NotCsv(format!("{found} cells under a header of {wanted}")));
    }
    let mut map = Map::with_capacity(wanted);
    for (place, (name, cell)) in header.names.iter().zip(cells.iter()).enumerate() {
        let cell = std::str::from_utf8(cell).map_err(|_| RowReason::NotUtf8)?;
        if name.is_empty() && header.has_unnamed {
            if cell.trim().is_empty() {
                continue;
            }
            let what = format!("cell {} is in one of several columns without a name", place + 1);
            return Err(RowReason::NotCsv(what));
        }
        map.insert(name.clone(), cell.into());
    }
    Ok(map)
}
