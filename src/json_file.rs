//! JSON, read and written: the configurations that lie beside a model's weights, and their like, and rows. No
//! object may have a key twice: parsers keep the last of both and drop the others in silence.

use std::cell::RefCell;
use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::de::Read;
use serde_json::{Map, Number, Value};

/// Characters of a key that a message shows.
const SHOWN: usize = 60;

/// Why a text was refused.
#[derive(Debug)]
pub enum JsonFault {
    NotJson(serde_json::Error),
    /// An object has the key twice, for the second time at that place.
    KeyTwice {
        key: String,
        line: usize,
        column: usize,
    },
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            JsonFault::NotJson(error) => write!(f, "{error}"),
            JsonFault::KeyTwice { key, line, column } => {
                let key: String = key.chars().take(SHOWN).collect();
                write!(
                    f,
                    "an object has the key `{key}` twice at line {line} column {column}; take one of the two out"
                )
            }
        }
    }
}

impl std::error::Error for JsonFault {}

/// What a file says. Errors, which name it, if it cannot be read, is not JSON, or has a key twice.
pub fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    match parse_bytes(&text) {
        Ok(value) => Ok(value),
        Err(JsonFault::NotJson(error)) => {
            Err(error).with_context(|| format!("`{}` is not JSON", path.display()))
        }
        Err(twice) => bail!("`{}`: {twice}", path.display()),
    }
}

/// The value that a text is.
pub fn parse(text: &str) -> Result<Value, JsonFault> {
    parse_from(serde_json::Deserializer::from_str(text))
}

/// As [`parse`], of bytes that need not be UTF-8.
pub fn parse_bytes(text: &[u8]) -> Result<Value, JsonFault> {
    parse_from(serde_json::Deserializer::from_slice(text))
}

fn parse_from<'de>(mut json: serde_json::Deserializer<impl Read<'de>>) -> Result<Value, JsonFault> {
    let twice = RefCell::new(None);
    let value = Strict { twice: &twice }.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    value.map_err(|error| match twice.take() {
        Some(key) => JsonFault::KeyTwice { key, line: error.line(), column: error.column() },
        None => JsonFault::NotJson(error),
    })
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

/// Makes a value. A key that stands twice goes to `twice`, and ends the parse.
#[derive(Clone, Copy)]
struct Strict<'a> {
    twice: &'a RefCell<Option<String>>,
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("any valid JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if map.contains_key(&key) {
                self.twice.replace(Some(key));
                return Err(A::Error::custom("a key twice"));
            }
            let value = entries.next_value_seed(self)?;
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
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

    #[test]
    fn values_are_those_of_serde_and_keys_stand_once() {
        let text = r#"{"a": [1, -2, 2.5, 1e300, "é\n", null, true, {}], "b": {"a": 18446744073709551615}}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for (text, key) in [(r#"{"a": 1, "b": 2, "a": 3}"#, "a"), (r#"[{"x": {"y": 1, "y": 1}}]"#, "y")] {
            assert!(
                matches!(parse(text), Err(JsonFault::KeyTwice { key: twice, .. }) if twice == key),
                "{text}"
            );
        }
        assert!(matches!(parse("{} x"), Err(JsonFault::NotJson(_))));
        assert!(matches!(parse(&"[".repeat(200)), Err(JsonFault::NotJson(_))));
    }
}
