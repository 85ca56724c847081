//! Methods of Python's strings, lists, tuples and dictionaries.

use minijinja::value::{Tuple, Value};
use minijinja::{Error, State};
use minijinja_contrib::pycompat;

use super::arguments::Arguments;
use super::bounds;
use super::comparison::{equal, value_of};
use super::method_names::changes;
use super::objects::DictView;
use super::python::{self, entries, error, pairs, type_name};
use super::{markup, str_format, strings};

/// Calls `value.name(arguments)`.
pub fn call(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    bounds::begin(arguments.iter().chain([value]))?;
    bounds::made(called(state, value, name, arguments)?)
}

fn called(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let bound = Arguments::new(name, arguments);
    if let Some(text) = value.as_str() {
        if value.is_safe() {
            return of_safe(state, text, name, arguments).map(safe);
        }
        return of_text(state, value, text, name, &bound, arguments);
    }
    let kind = type_name(value);
    if changes(value, name) {
        // This is as in Jinja2's immutable sandbox, which `apply_chat_template` uses.
        return Err(error(format!("access to `{name}` of a {kind} is unsafe: templates change nothing")));
    }
    match (kind, name) {
        ("list" | "tuple" | "range", "index") => {
            let wanted = bound.get(0, "value").unwrap_or_default();
            let found = value.try_iter()?.position(|item| equal(&item, &wanted));
            found.map(Value::from).ok_or_else(|| bound.error("finds no such item"))
        }
        ("list" | "tuple" | "range", "count") => {
            let wanted = bound.get(0, "value").unwrap_or_default();
            Ok(Value::from(value.try_iter()?.filter(|item| equal(item, &wanted)).count()))
        }
        ("list", "copy") => Ok(value.try_iter()?.collect()),
        ("dict", "copy") => Ok(value.clone()),
        ("dict", "get") => {
            bound.only(&["key", "default"])?;
            if bound.named().is_some() {
                return Err(bound.error("takes its default by position only"));
            }
            let key = bound.get(0, "key").ok_or_else(|| bound.error("needs a key"))?;
            let default = || bound.positional().get(1).cloned().unwrap_or_else(|| Value::from(()));
            Ok(value_of(value, &key).unwrap_or_else(default))
        }
        ("dict", "keys") => {
            bound.only(&[])?;
            Ok(DictView::value("dict_keys", value.try_iter()?.collect()))
        }
        ("dict", "values") => {
            bound.only(&[])?;
            Ok(DictView::value("dict_values", entries(value)?.into_iter().map(|(_, value)| value).collect()))
        }
        ("dict", "items") => {
            bound.only(&[])?;
            Ok(DictView::value("dict_items", pairs(value)?))
        }
        ("float", "is_integer") => {
            Ok(Value::from(python::float(value).is_some_and(|number| number.fract() == 0.0)))
        }
        _ => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

fn of_text(
    state: &mut State,
    value: &Value,
    text: &str,
    name: &str,
    bound: &Arguments,
    arguments: &[Value],
) -> Result<Value, Error> {
    if name == "format" {
        return str_format::str_format(text, bound, |value| Ok(value.clone())).map(Value::from);
    }
    if name == "translate" {
        return translated(text, bound).map(Value::from);
    }
    match strings::call(text, name, bound) {
        Some(result) => result,
        None => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

/// `str.translate`: the table maps code points to code points or texts, or to `None` for characters that
/// are removed.
fn translated(text: &str, bound: &Arguments) -> Result<String, Error> {
    bound.only(&["table"])?;
    let table = bound.get(0, "table").ok_or_else(|| bound.error("needs a table"))?;
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let Some(other) = value_of(&table, &Value::from(c as u32)) else {
            out.push(c);
            continue;
        };
        match (other.as_str(), other.as_i64()) {
            _ if other.is_none() => {}
            (Some(text), _) => {
                bounds::make_text(text.len())?;
                out.push_str(text);
            }
            (None, Some(code)) => out.push(
                u32::try_from(code)
                    .ok()
                    .and_then(char::from_u32)
                    .ok_or_else(|| bound.error("finds a code point that is none"))?,
            ),
            _ => return Err(bound.error("needs integers, strings or `None` in its table")),
        }
    }
    Ok(out)
}

/// Calls a method of a text that is marked as safe. Strings that are put into such a text are escaped.
fn of_safe(state: &mut State, text: &str, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    let escaped = |value: &Value| match value.as_str() {
        Some(text) if !value.is_safe() => Value::from(markup::escaped(text)),
        _ => value.clone(),
    };
    let mut arguments = arguments.to_vec();
    match name {
        "format" => {
            let bound = Arguments::new(name, &arguments);
            let escaped = |value: &Value| Ok(Value::from(markup::escaped_value(value)));
            return str_format::str_format(text, &bound, escaped).map(Value::from);
        }
        "join" => {
            if let Some(items) = arguments.first_mut() {
                *items = python::iterate(items)?.iter().map(escaped).collect();
            }
        }
        "replace" => {
            if let Some(new) = arguments.get_mut(1) {
                *new = escaped(new);
            }
        }
        _ => {}
    }
    let bound = Arguments::new(name, &arguments);
    of_text(state, &Value::from(text), text, name, &bound, &arguments)
}

/// Marks the strings of a result as safe, since it came from a safe text.
fn safe(result: Value) -> Value {
    let of = |value: Value| match value.as_str() {
        Some(text) => Value::from_safe_string(text.to_owned()),
        None => value.clone(),
    };
    match type_name(&result) {
        "list" => result.try_iter().into_iter().flatten().map(of).collect(),
        "tuple" => {
            Value::from(Tuple::from(result.try_iter().into_iter().flatten().map(of).collect::<Vec<_>>()))
        }
        _ => of(result),
    }
}
