//! Parquet files, row by row. Keys with missing values are left out.

use std::path::Path;

use anyhow::{Result, anyhow};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

use super::open::{Compression, seekable};
use super::{Sink, object};

pub fn for_each_row(path: &Path, packing: Compression, sink: &mut Sink) -> Result<()> {
    let file_error = |error| anyhow!("`{}`: not a readable parquet file: {error}", path.display());
    let file = SerializedFileReader::new(seekable(path, packing)?).map_err(file_error)?;
    for (index, row) in file.get_row_iter(None).map_err(file_error)?.enumerate() {
        let mut value = row.map_err(file_error)?.to_json_value();
        drop_nulls(&mut value);
        if sink(object(index + 1, value))?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Drops keys that hold null, at any depth: a column that only some rows use is null in all others.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(drop_nulls);
        }
        Value::Array(values) => values.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
