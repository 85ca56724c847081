//! JSON in which no object has a key twice: parsers keep the last of both and drop the others in silence.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why a text was refused.
#[derive(Debug)]
pub enum JsonFault {
    NotJson(serde_json::Error),
    /// The key that an object has twice.
    KeyTwice(String),
}

/// The value that a text is.
pub fn parse(text: &str) -> Result<Value, JsonFault> {
    let twice = RefCell::new(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let value = Strict { twice: &twice }.deserialize(&mut json).and_then(|value| json.end().map(|()| value));
    value.map_err(|error| match twice.take() {
        Some(key) => JsonFault::KeyTwice(key),
        None => JsonFault::NotJson(error),
    })
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
mod tests {
    use super::*;

    #[test]
    fn values_are_those_of_serde_and_keys_stand_once() {
        let text = r#"{"a": [1, -2, 2.5, 1e300, "é\n", null, true, {}], "b": {"a": 18446744073709551615}}"#;
        assert_eq!(parse(text).unwrap(), serde_json::from_str::<Value>(text).unwrap());
        for (text, key) in [(r#"{"a": 1, "b": 2, "a": 3}"#, "a"), (r#"[{"x": {"y": 1, "y": 1}}]"#, "y")] {
            assert!(matches!(parse(text), Err(JsonFault::KeyTwice(twice)) if twice == key), "{text}");
        }
        assert!(matches!(parse("{} x"), Err(JsonFault::NotJson(_))));
        assert!(matches!(parse(&"[".repeat(200)), Err(JsonFault::NotJson(_))));
    }
}
