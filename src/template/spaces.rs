//! White space and the ends of lines, as Python's strings know them.

use minijinja::Value;

/// `str.isspace` of one character.
pub fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// `text.strip()`.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// `text.split(None, most)`: the words of a text. At most `most` of them are split off, the rest stays
/// whole.
pub fn split_at_spaces(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = if parts.len() < most { rest.find(is_space) } else { None };
        parts.push(&rest[..end.unwrap_or(rest.len())]);
        rest = end.map_or("", |end| rest[end..].trim_start_matches(is_space));
    }
    parts
}

/// `text.rsplit(None, most)`: the same, beginning at the end of the text.
pub fn rsplit_at_spaces(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        let last = |text: &str| text.char_indices().rev().find(|(_, c)| is_space(*c));
        let end = if parts.len() < most { last(rest) } else { None };
        parts.push(&rest[end.map_or(0, |(at, c)| at + c.len_utf8())..]);
        rest = end.map_or("", |(at, _)| rest[..at].trim_end_matches(is_space));
    }
    parts.reverse();
    parts
}

/// `text.splitlines(keep_ends)`.
pub fn splitlines(text: &str, keep_ends: bool) -> Value {
    lines(text, keep_ends).into_iter().map(Value::from).collect()
}

/// The lines of a text as `str.splitlines` splits it: no empty line follows a newline at the end.
pub fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let ends = |c: char| {
        matches!(
            c,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        )
    };
    let mut lines = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let at = rest.find(ends).unwrap_or(rest.len());
        let end = match &rest[at..] {
            tail if tail.starts_with("\r\n") => 2,
            tail => tail.chars().next().map_or(0, char::len_utf8),
        };
        lines.push(&rest[..if keep_ends { at + end } else { at }]);
        rest = &rest[at + end..];
    }
    lines
}
