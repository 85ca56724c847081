//! Values as Python sees and writes them: the names of their types, what loops iterate over, `str()`,
//! `repr()` and the shortest form of a float.

use std::fmt::Write;

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::bounds;
use super::objects::{BigInteger, DictView, Generator, Group, Method, Range};

/// The name of a value's type.
pub fn type_name(value: &Value) -> &'static str {
    match value.kind() {
        ValueKind::Undefined => "Undefined",
        ValueKind::None => "NoneType",
        ValueKind::Bool => "bool",
        ValueKind::Number if value.is_integer() => "int",
        ValueKind::Number => "float",
        ValueKind::String if value.is_safe() => "Markup",
        ValueKind::String => "str",
        ValueKind::Bytes => "bytes",
        _ if value.downcast_object_ref::<BigInteger>().is_some() => "int",
        _ if value.downcast_object_ref::<Range>().is_some() => "range",
        _ if value.downcast_object_ref::<Generator>().is_some() => "generator",
        _ if value.downcast_object_ref::<Method>().is_some() => "method",
        _ if value.is_tuple() || value.downcast_object_ref::<Group>().is_some() => "tuple",
        ValueKind::Seq => "list",
        ValueKind::Map => "dict",
        ValueKind::Iterable => value.downcast_object_ref::<DictView>().map_or("iterator", |view| view.kind),
        _ => "object",
    }
}

/// The items of a loop over `value`. Errors if Python cannot iterate over it.
pub fn iterate(value: &Value) -> Result<Vec<Value>, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(Vec::new()),
        ValueKind::String => {
            bounds::make_items(value.as_str().map_or(0, str::len))?;
            Ok(value.as_str().unwrap_or_default().chars().map(|c| Value::from(c.to_string())).collect())
        }
        ValueKind::Seq | ValueKind::Iterable | ValueKind::Map => {
            bounds::make_items(value.len().unwrap_or(0))?;
            Ok(value.try_iter()?.collect())
        }
        _ => Err(error(format!("a value of type `{}` cannot be iterated over", type_name(value)))),
    }
}

/// Keys and values of a dictionary.
pub fn entries(dict: &Value) -> Result<Vec<(Value, Value)>, Error> {
    dict.try_iter()?.map(|key| dict.get_item(&key).map(|value| (key, value))).collect()
}

/// The same, each as a tuple.
pub fn pairs(dict: &Value) -> Result<Vec<Value>, Error> {
    Ok(entries(dict)?.into_iter().map(|(key, value)| Value::from(Tuple::from([key, value]))).collect())
}

/// A tuple of texts.
pub fn tuple<const N: usize>(texts: [&str; N]) -> Value {
    Value::from(Tuple::from(texts.map(Value::from)))
}

/// The error that an operation is not valid.
pub fn error(detail: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, detail.into())
}

/// Errors if the value is not defined.
pub fn defined(value: &Value) -> Result<(), Error> {
    match value.is_undefined() {
        true => Err(Error::new(ErrorKind::UndefinedError, "a value that is not defined cannot be used so")),
        false => Ok(()),
    }
}

/// `str(value)`: strings as they are, everything else as `repr` writes it.
pub fn str(value: &Value) -> String {
    match value.as_str() {
        Some(text) if bounds::spend(text.len()) => text.to_owned(),
        Some(_) => String::new(),
        None if value.is_undefined() => String::new(),
        None => repr(value),
    }
}

/// `repr(value)`.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value);
    out
}

/// `ascii(value)`: `repr` with escapes for characters that are not ASCII.
pub fn ascii(value: &Value) -> String {
    let mut out = String::new();
    for c in repr(value).chars() {
        match c as u32 {
            0..=0x7f => out.push(c),
            code @ 0x80..=0xff => out.push_str(&format!("\\x{code:02x}")),
            code @ 0x100..=0xffff => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}

fn write_repr(out: &mut String, value: &Value) {
    if !bounds::descend() {
        return;
    }
    match value.kind() {
        ValueKind::Undefined => out.push_str("Undefined"),
        ValueKind::String if value.is_safe() => {
            out.push_str("Markup(");
            write_string_repr(out, value.as_str().unwrap_or_default());
            out.push(')');
        }
        ValueKind::String => write_string_repr(out, value.as_str().unwrap_or_default()),
        ValueKind::Number => match float(value) {
            Some(number) => out.push_str(&float_repr(number)),
            None => out.push_str(&value.to_string()),
        },
        ValueKind::Seq if type_name(value) != "range" => {
            let is_tuple = type_name(value) == "tuple";
            let (open, close) = if is_tuple { ('(', ')') } else { ('[', ']') };
            out.push(open);
            write_items(out, value);
            if is_tuple && value.len() == Some(1) {
                out.push(',');
            }
            out.push(close);
        }
        ValueKind::Map => {
            out.push('{');
            for (index, key) in value.try_iter().into_iter().flatten().enumerate() {
                if index > 0 {
                    out.push_str(", ");
                }
                write_repr(out, &key);
                out.push_str(": ");
                write_repr(out, &value.get_item(&key).unwrap_or_default());
            }
            out.push('}');
        }
        // These are `None`, `True`, `False`, and objects that write themselves.
        _ => out.push_str(&value.to_string()),
    }
}

fn write_items(out: &mut String, value: &Value) {
    for (index, item) in value.try_iter().into_iter().flatten().enumerate() {
        if index > 0 {
            out.push_str(", ");
        }
        write_repr(out, &item);
    }
}

/// The value as a float, if it is one (and not an integer).
pub fn float(value: &Value) -> Option<f64> {
    let is_float = value.is_number() && !value.is_integer() && value.kind() == ValueKind::Number;
    is_float.then(|| f64::try_from(value.clone()).ok()).flatten()
}

/// `repr` of a float: the shortest digits that read back as the same number, with an exponent below
/// 1e-4 and from 1e16 on.
pub fn float_repr(number: f64) -> String {
    if number.is_nan() {
        return "nan".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => {
            let plain = number.to_string();
            if plain.contains('.') { plain } else { plain + ".0" }
        }
    }
}

fn write_string_repr(out: &mut String, text: &str) {
    if !bounds::spend(text.len().saturating_mul(2)) {
        return;
    }
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if is_printable(c) => out.push(c),
            c => {
                let code = c as u32;
                // Writing to a string cannot fail.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// An approximation of `str.isprintable` for one character: it is no control, format or private character
/// and no separator except the space. Unassigned characters are not recognised.
pub fn is_printable(c: char) -> bool {
    let separator = c.is_whitespace() && c != ' ';
    let format = matches!(c,
        '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}' | '\u{e0001}' | '\u{e0020}'..='\u{e007f}'
    );
    let private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..='\u{10ffff}');
    !(c.is_control() || separator || format || private)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    /// Expected values: `repr(x)` of CPython 3.12.
    #[test]
    fn floats_are_written_as_python_writes_them() {
        for (number, expected) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1, "0.1"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-7, "1.5e-07"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123456789.123, "123456789.123"),
            (f64::INFINITY, "inf"),
            (2.5e300, "2.5e+300"),
        ] {
            assert_eq!(float_repr(number), expected);
        }
    }

    #[test]
    fn strings_are_quoted_as_python_quotes_them() {
        for (text, expected) in [
            ("a", "'a'"),
            ("it's", "\"it's\""),
            ("it's \"so\"", "'it\\'s \"so\"'"),
            ("a\n\t\\\u{7f}\u{a0}é茶\u{200b}", "'a\\n\\t\\\\\\x7f\\xa0é茶\\u200b'"),
        ] {
            assert_eq!(repr(&Value::from(text)), expected);
        }
    }
}
