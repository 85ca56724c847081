//! Whether an answer is desirable, in the ways that data sets write it.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::Value;

/// Keys of a label.
pub const LABELS: [&str; 2] = ["label", "kto_tag"];

/// `true` or `false`; also 1 or 0, 1 or −1, and all of these as text, as tables of text have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Label {
    pub desirable: bool,
    pub written: LabelForm,
}

/// How an undesirable answer is written. A file that has both 0 and −1 may mean a third thing by one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LabelForm {
    Zero,
    MinusOne,
    Otherwise,
}

impl TryFrom<Value> for Label {
    type Error = &'static str;

    fn try_from(value: Value) -> Result<Self, Self::Error> {
        let (desirable, written) = match (&value, value.as_f64(), value.as_str()) {
            (Value::Bool(desirable), ..) => (*desirable, LabelForm::Otherwise),
            (_, Some(1.0), _) | (.., Some("true" | "True" | "1")) => (true, LabelForm::Otherwise),
            (.., Some("false" | "False")) => (false, LabelForm::Otherwise),
            (_, Some(0.0), _) | (.., Some("0")) => (false, LabelForm::Zero),
            (_, Some(-1.0), _) | (.., Some("-1")) => (false, LabelForm::MinusOne),
            _ => return Err("neither true nor false"),
        };
        Ok(Label { desirable, written })
    }
}

impl JsonSchema for Label {
    fn schema_name() -> Cow<'static, str> {
        "Label".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Whether the answer is desirable. A file has either 0 or -1 for answers that are not.",
            "enum": [true, false, 1, 0, -1, "true", "false", "True", "False", "1", "0", "-1"],
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
        let read = |value: &Value| Label::try_from(value.clone()).map(|label| label.desirable).ok();
        let values = schema.as_value()["enum"].as_array().cloned().unwrap_or_default();
        assert_eq!(values.len(), 12);
        let good = [json!(true), json!(1), json!("true"), json!("True"), json!("1")];
        for value in &values {
            assert_eq!(read(value), Some(good.contains(value)), "{value}");
        }
        for other in [json!(2), json!(-2), json!(0.5), json!("yes"), json!(""), json!(null), json!([true])] {
            assert_eq!(read(&other), None, "{other}");
        }
    }
}
