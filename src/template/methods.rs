//! Methods of Python's strings, lists and dictionaries, and what [`rewrite`](super::rewrite) turns
//! slices and `%` into.

use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, State, Value};
use minijinja_contrib::pycompat;

use super::arguments::Arguments;
use super::{rewrite, slice, strings};

/// Calls `value.name(arguments)`.
pub fn call(
    state: &mut State,
    value: &Value,
    name: &str,
    arguments: &[Value],
) -> Result<Value, Error> {
    let bound = Arguments::new(name, arguments);
    if name == rewrite::SLICE {
        return slice::slice(value, &bound);
    }
    if let Some(text) = value.as_str() {
        if name == rewrite::FORMAT {
            let operand = arguments.first().cloned().unwrap_or_default();
            let operands = if operand.is_tuple() { operand.try_iter()?.collect() } else { vec![operand] };
            return format(FormatStyle::Printf, text, &operands).map(Value::from);
        }
        if let Some(result) = strings::call(text, name, &bound) {
            return result;
        }
    }
    match (value.kind(), name) {
        (ValueKind::Seq, "index") => {
            let wanted = arguments.first().cloned().unwrap_or_default();
            let found = value.try_iter()?.position(|item| item == wanted);
            found.map(Value::from).ok_or_else(|| bound.error("finds no such item"))
        }
        (ValueKind::Seq, "copy") => Ok(value.try_iter()?.collect()),
        (ValueKind::Map, "copy") => Ok(value.clone()),
        (ValueKind::Seq, "append" | "extend" | "insert" | "pop" | "remove" | "reverse" | "sort" | "clear")
        | (ValueKind::Map, "pop" | "update" | "clear" | "setdefault" | "popitem") => {
            // As in Jinja2's immutable sandbox, which `apply_chat_template` uses.
            let kind = value.kind();
            let detail = format!("access to `{name}` of a {kind} is unsafe: templates change nothing");
            Err(Error::new(ErrorKind::InvalidOperation, detail))
        }
        _ => pycompat::unknown_method_callback(state, value, name, arguments),
    }
}

/// A tuple of texts.
pub fn tuple<const N: usize>(texts: [&str; N]) -> Value {
    Value::from(Tuple::from(texts.map(Value::from)))
}
