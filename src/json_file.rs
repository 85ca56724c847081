//! JSON files, read: the configurations that lie beside a model's weights, and their like.

use std::collections::HashSet;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What a file says. Errors, which name it, if it cannot be read, is not JSON, or has a key twice.
pub fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let value = serde_json::from_slice(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
    check_keys(&text).map_err(|what| anyhow!("`{}`: {what}", path.display()))?;
    Ok(value)
}

/// Errors if an object in a JSON text has a key twice: readers do not agree on which of the two counts.
pub fn check_keys(text: &[u8]) -> Result<()> {
    serde_json::from_slice::<UniqueKeys>(text)?;
    Ok(())
}

/// Any JSON, of which only the keys are looked at.
struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(UniqueKeys)
    }
}

impl<'de> Visitor<'de> for UniqueKeys {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E: Error>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<UniqueKeys>()?.is_some() {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        let mut keys = HashSet::new();
        while let Some(key) = entries.next_key::<String>()? {
            entries.next_value::<UniqueKeys>()?;
            if !keys.insert(key.clone()) {
                let shown: String = key.chars().take(60).collect();
                return Err(A::Error::custom(format!(
                    "an object has the key `{shown}` twice; take one of the two out"
                )));
            }
        }
        Ok(self)
    }
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

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn a_key_that_is_there_twice_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        fs::write(&path, r#"{"a": [1, null, -2.5, {"b": "x", "b": true}], "c": {}}"#).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("config.json`: an object has the key `b` twice"), "{error}");
        fs::write(&path, r#"{"a": {"a": 1}, "b": {"a": 1}}"#).unwrap();
        assert_eq!(read(&path).unwrap()["a"]["a"], 1);
    }
}
