//! The filter `pprint`: Python's `pprint.pformat` with its default settings: 80 columns and sorted keys.

use std::cmp::Ordering;

use minijinja::Error;
use minijinja::value::Value;

use super::bounds;
use super::comparison::Number;
use super::python::{self, type_name};
use super::spaces;

const WIDTH: usize = 80;

/// `pprint.pformat(value)`.
pub fn pformat(value: &Value) -> Result<String, Error> {
    let mut out = String::new();
    write(&mut out, value, 0, 0, true)?;
    Ok(out)
}

/// Writes a value from column `indent` on, `allowance` characters before the line's end.
fn write(out: &mut String, value: &Value, indent: usize, allowance: usize, top: bool) -> Result<(), Error> {
    let plain = repr(value)?;
    if length(&plain) <= WIDTH.saturating_sub(indent + allowance) {
        out.push_str(&plain);
        return Ok(());
    }
    match type_name(value) {
        "dict" => {
            let entries = sorted(value)?;
            let count = entries.len();
            out.push('{');
            for (index, (key, item)) in entries.into_iter().enumerate() {
                next(out, index, indent);
                let key = repr(&key)?;
                out.push_str(&format!("{key}: "));
                let after = if index + 1 == count { allowance + 1 } else { 1 };
                write(out, &item, indent + 1 + length(&key) + 2, after, false)?;
            }
            out.push('}');
        }
        kind @ ("list" | "tuple") => {
            let items = python::iterate(value)?;
            let (open, close) = match kind {
                "list" => ("[", "]"),
                _ if items.len() == 1 => ("(", ",)"),
                _ => ("(", ")"),
            };
            out.push_str(open);
            for (index, item) in items.iter().enumerate() {
                next(out, index, indent);
                let after = if index + 1 == items.len() { allowance + close.len() } else { 1 };
                write(out, item, indent + 1, after, false)?;
            }
            out.push_str(close);
        }
        _ => match value.as_str().filter(|text| !value.is_safe() && !text.is_empty()) {
            Some(text) => write_text(out, text, indent, allowance, top)?,
            None => out.push_str(&plain),
        },
    }
    Ok(())
}

/// Writes what comes before every item except the first.
fn next(out: &mut String, index: usize, indent: usize) {
    if index > 0 && bounds::spend(indent) {
        out.push_str(&format!(",\n{}", " ".repeat(indent + 1)));
    }
}

/// Writes a text as several literals, split at lines and words.
fn write_text(
    out: &mut String,
    text: &str,
    mut indent: usize,
    mut allowance: usize,
    top: bool,
) -> Result<(), Error> {
    if top {
        indent += 1;
        allowance += 1;
    }
    let room = WIDTH.saturating_sub(indent);
    let quoted = |text: &str| python::repr(&Value::from(text));
    let lines: Vec<Value> = python::iterate(&spaces::splitlines(text, true))?;
    let mut chunks: Vec<String> = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let line = line.as_str().unwrap_or_default();
        let is_last = number + 1 == lines.len();
        let less = if is_last { allowance } else { 0 };
        if length(&quoted(line)) <= room.saturating_sub(less) {
            chunks.push(quoted(line));
            continue;
        }
        bounds::make_items(line.len() / 2)?;
        let words = words(line);
        let mut current = String::new();
        for (index, word) in words.iter().enumerate() {
            let candidate = format!("{current}{word}");
            let less = if index + 1 == words.len() { less } else { 0 };
            if length(&quoted(&candidate)) <= room.saturating_sub(less) {
                current = candidate;
                continue;
            }
            if !current.is_empty() {
                chunks.push(quoted(&current));
            }
            current = (*word).to_owned();
        }
        if !current.is_empty() {
            chunks.push(quoted(&current));
        }
    }
    bounds::make_text(chunks.len().saturating_mul(indent))?;
    let written = chunks.join(&format!("\n{}", " ".repeat(indent)));
    out.push_str(&if top && chunks.len() > 1 { format!("({written})") } else { written });
    Ok(())
}

/// The words of a text, each with the white space after it.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(spaces::is_space).unwrap_or(rest.len());
        let space = rest[word..].find(|c| !spaces::is_space(c)).unwrap_or(rest.len() - word);
        let (piece, after) = rest.split_at(word + space);
        words.push(piece);
        rest = after;
    }
    words
}

/// `repr` with sorted keys.
fn repr(value: &Value) -> Result<String, Error> {
    if !bounds::descend() {
        bounds::check()?;
    }
    let items = |items: Vec<Value>| items.iter().map(repr).collect::<Result<Vec<_>, _>>();
    Ok(match type_name(value) {
        "dict" => {
            let entries = sorted(value)?.into_iter();
            let entries: Result<Vec<_>, Error> =
                entries.map(|(key, item)| Ok(format!("{}: {}", repr(&key)?, repr(&item)?))).collect();
            format!("{{{}}}", entries?.join(", "))
        }
        "list" => format!("[{}]", items(python::iterate(value)?)?.join(", ")),
        "tuple" => match items(python::iterate(value)?)?.as_slice() {
            [one] => format!("({one},)"),
            several => format!("({})", several.join(", ")),
        },
        _ => python::repr(value),
    })
}

/// A dictionary's entries, sorted by their keys. Keys that cannot be compared are sorted by the names of
/// their types.
fn sorted(dict: &Value) -> Result<Vec<(Value, Value)>, Error> {
    let mut entries = python::entries(dict)?;
    entries.sort_by(|(one, _), (other, _)| match (one.as_str(), other.as_str()) {
        (Some(one), Some(other)) => one.cmp(other),
        _ => match (Number::of(one), Number::of(other)) {
            (Some(one), Some(other)) => one.float().partial_cmp(&other.float()).unwrap_or(Ordering::Equal),
            _ => type_name(one).cmp(type_name(other)),
        },
    });
    Ok(entries)
}

fn length(text: &str) -> usize {
    text.chars().count()
}
