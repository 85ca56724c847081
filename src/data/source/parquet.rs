//! Parquet files, row by row. Missing values are no value.

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

/// A column that some rows use has a null in all others, at any depth.
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
