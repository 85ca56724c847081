//! Rows of a file as JSON objects: `.jsonl`, `.json`, `.csv`, `.parquet`, each also `.gz` or `.zst`. No more
//! of a file is held than the row that is read, and no row that is longer than a bound.

mod csv;
mod elements;
mod json;
mod jsonl;
mod lines;
mod open;
mod outline;
mod parquet;
mod parquet_pages;
mod records;

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::reason::RowReason;
use crate::json_file::{self, JsonFault};

/// One row as the file has it, not parsed yet.
#[derive(Debug, PartialEq)]
pub struct RawRow {
    /// Line of the file at which the row begins; of a `.parquet` file the row's number (both from 1).
    pub line: usize,
    pub content: RawContent,
}

/// What was read of a row.
#[derive(Debug, PartialEq)]
pub enum RawContent {
    /// A line of a file with one JSON value a line.
    Line(Vec<u8>),
    /// The text of an item of a JSON list, and the column at which it begins, from 1.
    Element(Vec<u8>, usize),
    Cells(Arc<csv::Header>, records::Cells),
    Parsed(Map<String, Value>),
    Refused(RowReason),
}

impl RawRow {
    /// About how many bytes the row has.
    pub fn bytes(&self) -> usize {
        match &self.content {
            RawContent::Line(bytes) | RawContent::Element(bytes, _) => bytes.len(),
            RawContent::Cells(_, cells) => cells.bytes(),
            RawContent::Parsed(_) | RawContent::Refused(_) => 256,
        }
    }

    /// The row as an object, or why it cannot be read. Errors if the file, which is at `path`, is no JSON
    /// from here on.
    pub fn object(self, path: &Path) -> Result<Result<Map<String, Value>, RowReason>> {
        Ok(match self.content {
            RawContent::Line(bytes) => jsonl_object(&bytes),
            RawContent::Element(bytes, column) => json::object(path, &bytes, self.line, column)?,
            RawContent::Cells(header, cells) => csv::object(&header, &cells),
            RawContent::Parsed(map) => Ok(map),
            RawContent::Refused(reason) => Err(reason),
        })
    }
}

/// What is called with each row. If it returns `Break`, reading ends.
pub type Sink<'a> = dyn FnMut(RawRow) -> Result<ControlFlow<()>> + 'a;

/// The kinds of files that [`for_each_row`] reads, for messages.
pub const KINDS: &str = ".jsonl, .json, .csv or .parquet, each also .gz or .zst";

/// Whether the name of `path` is of such a kind.
pub fn is_known(path: &Path) -> bool {
    ["jsonl", "ndjson", "json", "csv", "parquet"].contains(&open::kind(path).0.as_str())
}

/// The unit that [`RawRow::line`] counts in a file of that name.
pub fn unit(path: &Path) -> &'static str {
    if open::kind(path).0 == "parquet" { "row" } else { "line" }
}

/// Whether a line of a file of that name may hold several rows.
pub fn has_many_rows_a_line(path: &Path) -> bool {
    open::kind(path).0 == "json"
}

/// Reads the rows of `path` in order. Rows that cannot be read, or are longer than `bound` bytes, go to
/// `sink` with their reason; an `Err` is about the file as a whole (absent, no regular file, cut short, of an
/// unknown kind).
pub fn for_each_row(path: &Path, bound: usize, sink: &mut Sink) -> Result<()> {
    let (kind, packing) = open::kind(path);
    match kind.as_str() {
        "jsonl" | "ndjson" => jsonl::for_each_row(path, open::reader(path, packing)?, bound, sink),
        "json" => json::for_each_row(path, open::reader(path, packing)?, bound, sink),
        "csv" => csv::for_each_row(path, open::reader(path, packing)?, bound, sink),
        "parquet" => parquet::for_each_row(path, packing, bound, sink),
        _ => bail!("`{}`: not a kind of file that rows are read from; expected {KINDS}", path.display()),
    }
}

/// The row on a line.
fn jsonl_object(bytes: &[u8]) -> Result<Map<String, Value>, RowReason> {
    let text = std::str::from_utf8(bytes).map_err(|_| RowReason::NotUtf8)?;
    match json_file::parse(text) {
        Ok(value) => as_object(value),
        Err(JsonFault::KeyTwice { key, .. }) => Err(RowReason::KeyTwice(key)),
        Err(JsonFault::NotJson(error)) => Err(RowReason::NotJson(at_column(&error))),
    }
}

/// A row, from a value that must be an object.
fn as_object(value: Value) -> Result<Map<String, Value>, RowReason> {
    match value {
        Value::Object(map) => Ok(map),
        _ => Err(RowReason::NotAnObject),
    }
}

/// The words of an error without its place.
fn words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or_default().to_owned()
}

/// The error with its column but without its line, which is always 1: the line of the row is known
/// otherwise.
fn at_column(error: &serde_json::Error) -> String {
    format!("{} at column {}", words(error), error.column())
}
