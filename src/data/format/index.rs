//! The place of an answer among others, as a number or as a text with that number.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// A whole number from 0; also as text, as tables of text have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Index(pub usize);

impl TryFrom<Value> for Index {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let whole = |number: f64| number >= 0.0 && number.fract() == 0.0 && number <= f64::from(u32::MAX);
        match &value {
            Value::Number(number) => number.as_f64().filter(|number| whole(*number)).map(|n| n as usize),
            Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
            _ => None,
        }
        .map(Index)
        .ok_or("not a whole number from 0")
    }
}

impl JsonSchema for Index {
    fn schema_name() -> Cow<'static, str> {
        "Index".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number from 0, also as text.",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string", "pattern": "^[0-9]+$" }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places_are_whole_numbers_from_0() {
        let read = |value: Value| Index::try_from(value).map(|index| index.0).ok();
        assert_eq!([json!(0), json!(2), json!(1.0), json!("3")].map(read), [0, 2, 1, 3].map(Some));
        assert_eq!(
            [json!(-1), json!(0.5), json!("x"), json!(""), json!(true), json!(null)].map(read),
            [None; 6]
        );
    }
}
