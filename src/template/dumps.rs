//! `json.dumps` of Python over template values: its separators, `ensure_ascii`, `indent`,
//! `sort_keys`, and its way of writing floats. No HTML escaping, unlike Jinja2's own `tojson`.

use std::fmt::Write;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

use super::{bounds, python};

/// Arguments of `json.dumps`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Style {
    pub ensure_ascii: bool,
    /// The indentation of one level. `None` writes everything on one line.
    pub indent: Option<String>,
    /// The separators after items and after keys. `None` means Python's defaults.
    pub separators: Option<(String, String)>,
    pub sort_keys: bool,
}

/// How deep a value may be nested.
const DEEPEST: usize = 900;

/// The value as JSON text. Errors if it holds what JSON cannot (an undefined value, a function).
pub fn dumps(value: &Value, style: &Style) -> Result<String, Error> {
    let (item, key) = match &style.separators {
        Some((item, key)) => (item.as_str(), key.as_str()),
        None if style.indent.is_some() => (",", ": "),
        None => (", ", ": "),
    };
    let mut writer = JsonWriter { out: String::new(), style, item, key };
    writer.value(value, 0)?;
    Ok(writer.out)
}

struct JsonWriter<'a> {
    out: String,
    style: &'a Style,
    item: &'a str,
    key: &'a str,
}

impl JsonWriter<'_> {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if !bounds::descend() {
            return bounds::check();
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.out.push_str(&number(value)),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq if python::type_name(value) != "range" => self.items(value, depth)?,
            ValueKind::Map => self.map(value, depth)?,
            _ if python::type_name(value) == "int" => self.out.push_str(&python::str(value)),
            _ => return Err(unserialisable(python::type_name(value))),
        }
        Ok(())
    }

    fn items(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.out.push('[');
        let mut any = false;
        if depth > DEEPEST {
            return Err(unserialisable("a value nested this deeply"));
        }
        for item in value.try_iter()? {
            self.separate(any, depth + 1);
            any = true;
            self.value(&item, depth + 1)?;
        }
        self.close(any, depth, ']');
        Ok(())
    }

    fn map(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        let mut keys: Vec<Value> = value.try_iter()?.collect();
        if self.style.sort_keys {
            keys.sort();
        }
        self.out.push('{');
        for (index, key) in keys.iter().enumerate() {
            self.separate(index > 0, depth + 1);
            match key.kind() {
                ValueKind::String => self.string(key.as_str().unwrap_or_default()),
                ValueKind::None => self.string("null"),
                ValueKind::Bool => self.string(if key.is_true() { "true" } else { "false" }),
                ValueKind::Number => self.string(&number(key)),
                _ => return Err(unserialisable(&format!("a key of type {}", python::type_name(key)))),
            }
            bounds::make_text(self.key.len())?;
            self.out.push_str(self.key);
            self.value(&value.get_item(key)?, depth + 1)?;
        }
        self.close(!keys.is_empty(), depth, '}');
        Ok(())
    }

    /// Writes what comes before an item: the separator if it is not the first item, and a new line if the
    /// text is indented.
    fn separate(&mut self, follows: bool, depth: usize) {
        if follows && bounds::spend(self.item.len()) {
            self.out.push_str(self.item);
        }
        self.new_line(depth);
    }

    fn close(&mut self, any: bool, depth: usize, bracket: char) {
        if any {
            self.new_line(depth);
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.style.indent {
            self.out.push('\n');
            if bounds::spend(indent.len().saturating_mul(depth)) {
                self.out.push_str(&indent.repeat(depth));
            }
        }
    }

    fn string(&mut self, text: &str) {
        if !bounds::spend(text.len().saturating_mul(2)) {
            return;
        }
        self.out.push('"');
        for character in text.chars() {
            match character {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if c < ' ' || (self.style.ensure_ascii && !(' '..='~').contains(&c)) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        // Writing to a string cannot fail.
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

fn number(value: &Value) -> String {
    match python::float(value) {
        Some(number) if number.is_nan() => "NaN".into(),
        Some(number) if number.is_infinite() => {
            if number > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        }
        Some(number) => python::float_repr(number),
        None => value.to_string(),
    }
}

fn unserialisable(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{what} is not JSON serializable"))
}
