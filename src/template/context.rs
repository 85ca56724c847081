//! A template's context read from JSON text as Python's `json.loads` reads it: integers of any size,
//! keys in their order.

use std::fmt;

use anyhow::{Result, bail};
use minijinja::Value;
use serde_json::Value as Json;

use super::bounds::Size;
use super::json;
use super::objects::BigInteger;

/// Variables for a template, from a JSON object.
#[derive(Clone)]
pub struct Context(Value, Size);

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Context {
    /// Errors if the text is not JSON, or no object.
    pub fn from_json(text: &str) -> Result<Self> {
        let mark = mark_for(text);
        // If this fails, the text as it was written is parsed, so that the error is about that.
        let json: Json =
            serde_json::from_str(&marked(text, &mark)).or_else(|_| serde_json::from_str(text))?;
        if !json.is_object() {
            bail!("the context of a template must be a JSON object");
        }
        Ok(Context(value(&json, &mark), Size::of(&json)))
    }

    pub(super) fn value(&self) -> (Value, Size) {
        (self.0.clone(), self.1)
    }
}

/// A text that no string in the JSON begins with.
fn mark_for(text: &str) -> String {
    let found = (0..).map(|n: u32| format!("\u{e000}{n}:")).find(|mark| !text.contains(mark.as_str()));
    found.unwrap_or_default()
}

/// The JSON text in which numbers that serde_json would round are written as strings that begin with
/// `mark`.
fn marked(text: &str, mark: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let is_string = rest.starts_with('"');
        let length = if is_string {
            string_length(rest)
        } else {
            let is_part = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            rest.len() - rest.trim_start_matches(is_part).len()
        };
        if !is_string && is_rounded(&rest[..length]) {
            out.push_str(&format!("\"{mark}{}\"", &rest[..length]));
        } else {
            out.push_str(&rest[..length]);
        }
        rest = &rest[length..];
    }
    out + rest
}

/// Length of the JSON string at the beginning of a text.
fn string_length(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether serde_json would not keep a JSON number as Python does: an integer of more than 64 bits, an
/// integer -0, or a number too large for a float.
fn is_rounded(number: &str) -> bool {
    let digits = number.strip_prefix('-').unwrap_or(number);
    let leads_with_zero = digits.len() > 1 && digits.starts_with('0');
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) && !leads_with_zero {
        return number == "-0" || number.parse::<i64>().is_err();
    }
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.contains(['e', 'E'])
        && number.parse::<f64>().is_ok_and(f64::is_infinite)
}

fn value(json: &Json, mark: &str) -> Value {
    match json {
        Json::String(text) => match text.strip_prefix(mark) {
            Some(number) => self::number(number),
            None => Value::from(text.as_str()),
        },
        Json::Array(items) => items.iter().map(|item| value(item, mark)).collect(),
        Json::Object(map) => {
            Value::from_pairs(map.iter().map(|(key, item)| (key.as_str(), value(item, mark))))
        }
        other => json::value(other),
    }
}

fn number(text: &str) -> Value {
    if text.contains(['.', 'e', 'E']) {
        // As in Python, a number that is too large for a float is infinite.
        return Value::from(text.parse::<f64>().unwrap_or(f64::INFINITY));
    }
    match (text.parse::<i64>(), text.parse::<i128>()) {
        (Ok(number), _) => Value::from(number),
        (_, Ok(number)) => Value::from(number),
        _ => Value::from_object(BigInteger(text.to_owned())),
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_python_reads_them() {
        let json =
            r#"{"a": -0, "b": 123456789012345678901234567890, "c": 1E5, "d": 1e400, "e": {"f": [null]}}"#;
        let context = Context::from_json(json).unwrap();
        let text = super::super::python::repr(&context.value().0);
        assert_eq!(
            text,
            "{'a': 0, 'b': 123456789012345678901234567890, 'c': 100000.0, 'd': inf, 'e': {'f': [None]}}"
        );
        assert!(Context::from_json("[1]").is_err());
        assert!(Context::from_json("{\"a\": }").is_err());
    }
}
