//! Files with one JSON object per line.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The rows as a file's content.
pub fn to_bytes(rows: &[impl Serialize]) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    for row in rows {
        serde_json::to_writer(&mut text, row)?;
        text.push(b'\n');
    }
    Ok(text)
}

/// All rows of a file. Errors name the file and the line.
pub fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let row = |(line, text): (usize, &str)| {
        serde_json::from_str(text)
            .with_context(|| format!("`{}` line {} cannot be read", path.display(), line + 1))
    };
    text.lines().enumerate().map(row).collect()
}
