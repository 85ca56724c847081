//! Python's `"…" % values`.

use minijinja::Error;
use minijinja::value::{Value, ValueKind};

use super::comparison::value_of;
use super::markup;
use super::python::{error, type_name};
use super::spec::{Spec, leading};

/// `format % values`. A tuple gives several values, a dictionary gives values with names.
pub fn format(format: &str, values: &Value) -> Result<String, Error> {
    filled(format, values, &|value| value.clone())
}

/// The same for a text that is marked as safe: strings that are put into it are escaped.
pub fn format_safe(format: &str, values: &Value) -> Result<String, Error> {
    filled(format, values, &|value| match value.kind() {
        ValueKind::Number | ValueKind::Bool => value.clone(),
        _ => Value::from(markup::escaped_value(value)),
    })
}

fn filled(format: &str, values: &Value, convert: &dyn Fn(&Value) -> Value) -> Result<String, Error> {
    let is_tuple = type_name(values) == "tuple";
    let items: Vec<Value> = if is_tuple { values.try_iter()?.collect() } else { vec![values.clone()] };
    let mut next = items.iter();
    let mut out = String::new();
    let mut rest = format;
    let mut used = false;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut named = None;
        if let Some(after) = rest.strip_prefix('(') {
            let end = after.find(')').ok_or_else(|| error("`%` has a name that is not closed"))?;
            let key = Value::from(&after[..end]);
            if values.kind() != ValueKind::Map {
                return Err(error("`%` with a name needs a dictionary"));
            }
            named = Some(
                value_of(values, &key)
                    .ok_or_else(|| error(format!("`%` finds no key `{}`", &after[..end])))?,
            );
            rest = &after[end + 1..];
        }
        let flags = &rest[..rest.len() - rest.trim_start_matches(['-', '+', ' ', '#', '0']).len()];
        rest = &rest[flags.len()..];
        let mut take = || next.next().ok_or_else(|| error("not enough values for `%`"));
        let mut width = Spec { left: flags.contains('-'), plus: flags.contains('+'), ..Spec::default() };
        width.space = flags.contains(' ');
        width.zero = flags.contains('0');
        width.alternate = flags.contains('#');
        if let Some(after) = rest.strip_prefix('*') {
            let number = take()?.as_i64().ok_or_else(|| error("`*` needs an integer"))?;
            width.left |= number < 0;
            width.width = number.unsigned_abs() as usize;
            rest = after;
        } else {
            width.width = leading(&mut rest);
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            width.precision = Some(match rest.strip_prefix('*') {
                Some(after) => {
                    rest = after;
                    usize::try_from(take()?.as_i64().unwrap_or(0)).unwrap_or(0)
                }
                None => leading(&mut rest),
            });
        }
        rest = rest.trim_start_matches(['h', 'l', 'L']);
        let Some(conversion) = rest.chars().next() else { return Err(error("`%` ends the text")) };
        rest = &rest[conversion.len_utf8()..];
        if conversion == '%' {
            out.push('%');
            continue;
        }
        used = true;
        let value = match named {
            Some(value) => value,
            None => take()?.clone(),
        };
        out.push_str(&width.printf(conversion, &convert(&value))?);
    }
    out.push_str(rest);
    let all_used = next.next().is_none() || (!is_tuple && values.kind() == ValueKind::Map);
    if !all_used && (is_tuple || !used) && !matches!(type_name(values), "list" | "dict") {
        return Err(error("not all values were used by `%`"));
    }
    Ok(out)
}
