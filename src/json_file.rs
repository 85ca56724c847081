//! JSON files, read: the configurations that lie beside a model's weights, and their like.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

/// What a file says. Errors, which name it, if it cannot be read or is not JSON.
pub fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("`{}` is not JSON", path.display()))
}

/// As [`read`]; `None` if there is no such file.
pub fn find(path: &Path) -> Result<Option<Value>> {
    if path.is_file() { read(path).map(Some) } else { Ok(None) }
}

/// As [`find`], of a file that must hold an object.
pub fn find_object(path: &Path) -> Result<Option<Map<String, Value>>> {
    match find(path)? {
        None => Ok(None),
        Some(Value::Object(object)) => Ok(Some(object)),
        Some(_) => bail!("`{}` holds no JSON object", path.display()),
    }
}

/// Writes a file, indented, with a line's end after it. Errors name the file.
pub fn write(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    fs::write(path, serde_json::to_string_pretty(value)? + "\n")
        .with_context(|| format!("cannot write `{}`", path.display()))
}
