//! Rows of a file as JSON objects: `.jsonl`, `.json`, `.csv`, `.parquet`, each also `.gz` or `.zst`.

mod csv;
mod json;
mod jsonl;
mod lines;
mod open;
mod parquet;

use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Result, bail};
use serde_json::{Map, Value};

use super::reason::RowReason;

/// One row as the file has it.
#[derive(Debug, Clone, PartialEq)]
pub struct RawRow {
    /// Line of the file at which the row begins; of a `.parquet` file the row's number (both from 1).
    pub line: usize,
    pub object: Result<Map<String, Value>, RowReason>,
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

/// Reads the rows of `path` in order. Rows that cannot be read go to `sink` with their reason; an
/// `Err` is about the file as a whole (absent, cut short, of an unknown kind).
pub fn for_each_row(path: &Path, sink: &mut Sink) -> Result<()> {
    let (kind, packing) = open::kind(path);
    match kind.as_str() {
        "jsonl" | "ndjson" => jsonl::for_each_row(path, open::reader(path, packing)?, sink),
        "json" => json::for_each_row(path, open::reader(path, packing)?, sink),
        "csv" => csv::for_each_row(path, open::reader(path, packing)?, sink),
        "parquet" => parquet::for_each_row(path, packing, sink),
        _ => bail!("`{}`: not a kind of file that rows are read from; expected {KINDS}", path.display()),
    }
}

/// A row, from a value that must be an object.
fn object(line: usize, value: Value) -> RawRow {
    let object = match value {
        Value::Object(map) => Ok(map),
        _ => Err(RowReason::NotAnObject),
    };
    RawRow { line, object }
}
