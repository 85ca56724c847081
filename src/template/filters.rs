//! Filters that differ between minijinja and Jinja2, as Jinja2 has them.

use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{Environment, Error, ErrorKind};

use super::dumps::{Style, dumps};
use super::python;

pub fn add_to(environment: &mut Environment) {
    environment.add_filter("tojson", tojson);
    environment.add_filter("string", |value: &Value| python::str(value));
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, the filter
/// that Hugging Face puts in place of Jinja2's own.
fn tojson(value: &Value, positional: Rest<Value>, named: Kwargs) -> Result<String, Error> {
    let argument = |index: usize, name: &str| match positional.get(index) {
        Some(value) => Ok(Some(value.clone())),
        None => named.get::<Option<Value>>(name),
    };
    let style = Style {
        ensure_ascii: argument(0, "ensure_ascii")?.is_some_and(|value| value.is_true()),
        indent: argument(1, "indent")?.map(indent).transpose()?.flatten(),
        separators: argument(2, "separators")?.map(separators).transpose()?.flatten(),
        sort_keys: argument(3, "sort_keys")?.is_some_and(|value| value.is_true()),
    };
    named.assert_all_used()?;
    dumps(value, &style)
}

fn indent(value: Value) -> Result<Option<String>, Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(None);
    }
    if let Some(text) = value.as_str() {
        return Ok(Some(text.to_owned()));
    }
    let width = value.as_i64().ok_or_else(|| bad_argument("indent", "a number or a string"))?;
    Ok(Some(" ".repeat(usize::try_from(width).unwrap_or(0).min(64))))
}

fn separators(value: Value) -> Result<Option<(String, String)>, Error> {
    if value.is_none() || value.is_undefined() {
        return Ok(None);
    }
    let texts: Vec<Value> = value.try_iter()?.collect();
    match texts.as_slice() {
        [item, key] => Ok(Some((python::str(item), python::str(key)))),
        _ => Err(bad_argument("separators", "two strings")),
    }
}

fn bad_argument(name: &str, expected: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: `{name}` must be {expected}"))
}
