//! Parquet files, row by row. Keys with missing values are left out.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};
use parquet::schema::types::Type;
use serde_json::{Map, Value};

use super::open::{Compression, seekable};
use super::{RawContent, RawRow, Sink, parquet_pages};
use crate::caught::caught;
use crate::data::reason::RowReason;

pub fn for_each_row(path: &Path, packing: Compression, bound: usize, sink: &mut Sink) -> Result<()> {
    let not_readable = |what: String| anyhow!("`{}`: not a readable parquet file: {what}", path.display());
    let file = seekable(path, packing)?;
    let pages = file.try_clone()?;
    let reader = guarded(|| SerializedFileReader::new(file).map_err(Into::into));
    let reader: SerializedFileReader<File> = reader.map_err(|error| not_readable(format!("{error:#}")))?;
    let metadata = reader.metadata();
    check_names(metadata.file_metadata().schema())
        .map_err(|error| anyhow!("`{}`: {error}", path.display()))?;
    parquet_pages::check(&pages, metadata, bound).map_err(|error| not_readable(format!("{error:#}")))?;
    let rows = guarded(|| reader.get_row_iter(None).map_err(Into::into));
    let mut rows = rows.map_err(|error| not_readable(format!("{error:#}")))?;
    for line in 1.. {
        let row = guarded(|| rows.next().transpose().map_err(Into::into));
        let Some(row) = row.map_err(|error| not_readable(format!("{error:#}")))? else { break };
        let content = match size(&row) > bound {
            true => RawContent::Refused(RowReason::TooLong { bound }),
            false => RawContent::Parsed(
                guarded(|| Ok(object(&row))).map_err(|error| not_readable(error.to_string()))?,
            ),
        };
        if sink(RawRow { line, content })?.is_break() {
            break;
        }
    }
    Ok(())
}

/// What `f` gives. The parquet crate panics on some damaged files; that is an error like others.
fn guarded<T>(f: impl FnOnce() -> Result<T>) -> Result<T> {
    caught(f).unwrap_or_else(|words| Err(anyhow!(words)))
}

/// Errors if two columns, or two fields of one, have one name.
fn check_names(schema: &Type) -> Result<()> {
    if !schema.is_group() {
        return Ok(());
    }
    let mut names = HashSet::new();
    for field in schema.get_fields() {
        if !names.insert(field.name()) {
            bail!(
                "two columns are called `{}`, and only one of them would be read; rename one",
                field.name()
            );
        }
        check_names(field)?;
    }
    Ok(())
}

/// About how many bytes a row has.
fn size(row: &Row) -> usize {
    row.get_column_iter().map(|(name, field)| name.len() + field_size(field)).sum()
}

fn field_size(field: &Field) -> usize {
    match field {
        Field::Str(text) => text.len(),
        Field::Bytes(bytes) => bytes.len() / 3 * 4,
        Field::Group(row) => size(row),
        Field::ListInternal(list) => list.elements().iter().map(field_size).sum(),
        Field::MapInternal(map) => {
            map.entries().iter().map(|(key, value)| field_size(key) + field_size(value)).sum()
        }
        _ => 8,
    }
}

/// The row without the keys that hold null, at any depth: a column that only some rows use is null in all
/// others.
fn object(row: &Row) -> Map<String, Value> {
    let fields = row.get_column_iter().map(|(name, field)| (name.clone(), value(field)));
    fields.filter(|(_, value)| !value.is_null()).collect()
}

/// A value as JSON. A number that is not finite, which JSON does not have, is its name: where a number is
/// meant, it is refused.
fn value(field: &Field) -> Value {
    match field {
        Field::Double(number) if !number.is_finite() => number.to_string().into(),
        Field::Float(number) if !number.is_finite() => number.to_string().into(),
        Field::Float16(number) if !number.is_finite() => number.to_string().into(),
        Field::Group(row) => object(row).into(),
        Field::ListInternal(list) => list.elements().iter().map(value).collect(),
        Field::MapInternal(map) => {
            let name = |key: &Field| match value(key) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            let entries = map.entries().iter().map(|(key, field)| (name(key), value(field)));
            Value::Object(entries.filter(|(_, value)| !value.is_null()).collect())
        }
        plain => plain.to_json_value(),
    }
}
