//! Jinja2's filters for HTML and URLs, and the escaping that follows texts marked as safe.

use minijinja::Error;
use minijinja::value::{Value, ValueKind};

use super::arguments::Arguments;
use super::bounds;
use super::python::{self, error, type_name};
use super::spaces::is_space;

/// The text with HTML's special characters escaped.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

/// The same for any value. A value that is marked as safe stays as it is.
pub fn escaped_value(value: &Value) -> String {
    if value.is_safe() { python::str(value) } else { escaped(&python::str(value)) }
}

pub fn urlencode(value: &Value) -> Result<Value, Error> {
    let quoted = |text: &str, keep: &[u8]| {
        text.bytes().fold(String::new(), |out, byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out + &char::from(byte).to_string()
            }
            byte if keep.contains(&byte) => out + &char::from(byte).to_string(),
            byte => out + &format!("%{byte:02X}"),
        })
    };
    let pairs = match value.kind() {
        ValueKind::Map => python::pairs(value)?,
        ValueKind::Seq | ValueKind::Iterable => python::iterate(value)?,
        _ => return Ok(Value::from(quoted(&python::str(value), b"/"))),
    };
    let mut parts = Vec::new();
    for pair in pairs {
        match python::iterate(&pair)?.as_slice() {
            [key, value] => {
                let part = |value: &Value| quoted(&python::str(value), b"").replace("%20", "+");
                parts.push(format!("{}={}", part(key), part(value)));
            }
            _ => return Err(error("urlencode() takes a string, a dictionary or pairs")),
        }
    }
    Ok(Value::from(parts.join("&")))
}

pub fn xmlattr(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        return Err(error(format!("xmlattr() takes a dictionary, not `{}`", type_name(value))));
    }
    let mut parts = Vec::new();
    for (key, item) in python::entries(value)? {
        let name = python::str(&key);
        if item.is_none() || item.is_undefined() {
            continue;
        }
        if name.contains(|c: char| is_space(c) || matches!(c, '/' | '>' | '=')) {
            return Err(error(format!("xmlattr() cannot write an attribute `{name}`")));
        }
        parts.push(format!("{}=\"{}\"", escaped(&name), escaped_value(&item)));
    }
    let space = arguments.get(0, "autospace").is_none_or(|value| value.is_true());
    let lead = if space && !parts.is_empty() { " " } else { "" };
    Ok(Value::from(format!("{lead}{}", parts.join(" "))))
}

/// The filter `striptags`: the text without HTML's tags and comments, with entities replaced by their
/// characters and runs of white space by one space.
pub fn striptags(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find("<!--").filter(|_| bounds::spend(text.len())) {
        let Some(length) = text[start..].find("-->") else { break };
        text.replace_range(start..start + length + 3, "");
    }
    let mut rest = text.as_str();
    let mut untagged = String::with_capacity(rest.len());
    while let Some((before, tag)) = rest.split_once('<') {
        let Some((_, after)) = tag.split_once('>') else { break };
        untagged.push_str(before);
        rest = after;
    }
    untagged.push_str(rest);
    let words: Vec<&str> = untagged.split(is_space).filter(|word| !word.is_empty()).collect();
    let entities =
        [("&lt;", "<"), ("&gt;", ">"), ("&#34;", "\""), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")];
    entities.iter().fold(words.join(" "), |text, (entity, c)| text.replace(entity, c))
}
