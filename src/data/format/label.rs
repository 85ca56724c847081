//! Whether an answer is desirable, in the ways that data sets write it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// `true` or `false`; also 1 or 0, and either as text, as tables of text have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Label(pub bool);

impl TryFrom<Value> for Label {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let number = value.as_f64();
        match value.as_str() {
            _ if value == true || number == Some(1.0) => Ok(Label(true)),
            _ if value == false || number == Some(0.0) => Ok(Label(false)),
            Some("true" | "True" | "1") => Ok(Label(true)),
            Some("false" | "False" | "0") => Ok(Label(false)),
            _ => Err("neither true nor false"),
        }
    }
}

impl JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Whether the answer is desirable.",
            "enum": [true, false, 1, 0, "true", "false", "True", "False", "1", "0"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_schema_s_values_are_those_that_are_read() {
        let schema = Label::json_schema(&mut SchemaGenerator::default());
        let read = |value: &Value| Label::try_from(value.clone()).map(|label| label.0).ok();
        let values = schema.as_value()["enum"].as_array().cloned().unwrap_or_default();
        assert_eq!(values.len(), 10);
        for pair in values.chunks(2) {
            assert_eq!((read(&pair[0]), read(&pair[1])), (Some(true), Some(false)), "{pair:?}");
        }
        for other in [json!(2), json!(0.5), json!("yes"), json!(""), json!(null), json!([true])] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
