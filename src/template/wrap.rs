//! The filter `wordwrap`: Python's `textwrap.wrap`, line by line.

use minijinja::Error;
use minijinja::value::Value;

use super::arguments::Arguments;
use super::{bounds, python, spaces};

/// `wordwrap(text, width=79, break_long_words=True, wrapstring="\n", break_on_hyphens=True)`.
pub fn wordwrap(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let width = arguments.integer(0, "width")?.unwrap_or(79);
    let Some(width) = usize::try_from(width).ok().filter(|width| *width > 0) else {
        return Err(arguments.error("needs a width above 0"));
    };
    let or_true = |index, name| arguments.get(index, name).is_none_or(|value: Value| value.is_true());
    let (break_long, hyphens) = (or_true(1, "break_long_words"), or_true(3, "break_on_hyphens"));
    let between = arguments.string(2, "wrapstring")?.unwrap_or_else(|| "\n".into());
    let text = python::str(value);
    bounds::make_items(text.len())?;
    let lines = spaces::lines(&text, false);
    let mut wrapped = Vec::new();
    for line in lines {
        let pieces = self::wrapped(line, width, break_long, hyphens);
        bounds::make_text((pieces.len() + 1).saturating_mul(between.len()))?;
        wrapped.push(pieces.join(&between));
    }
    Ok(Value::from(wrapped.join(&between)))
}

/// Breaks a text into lines of at most `width` characters.
fn wrapped(text: &str, width: usize, break_long: bool, hyphens: bool) -> Vec<String> {
    let mut chunks: std::collections::VecDeque<String> = chunks(text, hyphens).into();
    let mut lines = Vec::new();
    let blank = |chunk: &String| spaces::strip(chunk).is_empty();
    while !chunks.is_empty() {
        // White space at the beginning of a line, except the first one, and at its end is dropped.
        if !lines.is_empty() && chunks.front().is_some_and(blank) {
            chunks.pop_front();
        }
        let mut line: Vec<String> = Vec::new();
        let mut length = 0;
        while let Some(chunk) = chunks.front() {
            let count = chunk.chars().count();
            if length + count > width {
                break;
            }
            length += count;
            line.extend(chunks.pop_front());
        }
        if let Some(chunk) = chunks.front().filter(|chunk| chunk.chars().count() > width).cloned() {
            let room = width - length;
            if break_long && room > 0 {
                chunks.pop_front();
                // It is better to break at a hyphen if there is one within the available width.
                let head: String = chunk.chars().take(room).collect();
                let at = head.rfind('-').map(|at| at + 1).filter(|at| {
                    hyphens && head[..at - 1].contains(|c| c != '-') && head.chars().count() == room
                });
                let (line_end, rest) = chunk.split_at(at.unwrap_or(head.len()));
                line.push(line_end.to_owned());
                if !rest.is_empty() {
                    chunks.push_front(rest.to_owned());
                }
            } else if line.is_empty() {
                line.extend(chunks.pop_front());
            }
        }
        if line.last().is_some_and(blank) {
            line.pop();
        }
        if !line.is_empty() {
            lines.push(line.concat());
        }
    }
    lines
}

/// Splits a text into words, runs of white space, and the parts of words after hyphens.
fn chunks(text: &str, hyphens: bool) -> Vec<String> {
    let space = |c: char| matches!(c, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r');
    let mut chunks: Vec<String> = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_space = space(first);
        let length = rest.find(|c| space(c) != is_space).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        rest = after;
        if is_space || !hyphens {
            chunks.push(run.to_owned());
            continue;
        }
        let characters: Vec<char> = run.chars().collect();
        let letter = |index: usize| characters.get(index).is_some_and(|c| c.is_alphabetic() || *c == '_');
        let mut part = String::new();
        for (index, c) in characters.iter().enumerate() {
            part.push(*c);
            let breaks = *c == '-'
                && index >= 2
                && letter(index - 1)
                && letter(index - 2)
                && letter(index + 1)
                && letter(index + 2);
            if breaks {
                chunks.push(std::mem::take(&mut part));
            }
        }
        if !part.is_empty() {
            chunks.push(part);
        }
    }
    chunks
}
