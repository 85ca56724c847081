//! Rewrites a template's source where minijinja and Jinja2 read it differently:
//!
//! - `{% generation %}` becomes a call block (see [`generation`](super::generation));
//! - `x[a:b:c]` becomes `x.__slice__(a, b, c)`: Python's slices, any step, on any length;
//! - `"…" % x` becomes `"…".__mod__(x)`: printf formatting of a literal;
//! - `{% for x in y %}` goes over `y|__iterable__`, which refuses `None`;
//! - string literals get Python's escapes.

use super::{filters, generation};

/// The method that slices are rewritten to.
pub const SLICE: &str = "__slice__";

/// The method that `%` after a string literal is rewritten to.
pub const FORMAT: &str = "__mod__";

/// The rewritten source, and whether it had generation blocks. Line ends become `\n`, as Jinja2
/// reads them.
pub fn rewrite(source: &str) -> (String, bool) {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let mut out = String::with_capacity(source.len());
    let mut rest = source.as_str();
    let mut marks_generation = false;
    while let Some(start) = rest.find("{").filter(|_| !rest.is_empty()) {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = if rest.starts_with("{#") {
            copy(&mut out, rest, rest.find("#}").map_or(rest.len(), |end| end + 2))
        } else if let Some((open, name, close, length)) = bare_tag(rest) {
            match name {
                "generation" | "endgeneration" => {
                    marks_generation = true;
                    let body = match name {
                        "generation" => format!("call {}()", generation::FUNCTION),
                        _ => "endcall".to_owned(),
                    };
                    out.push_str(&format!("{{%{open} {body} {close}%}}"));
                    length
                }
                "raw" => copy(&mut out, rest, raw_block(rest, length)),
                _ => copy(&mut out, rest, length),
            }
        } else if rest.starts_with("{%") || rest.starts_with("{{") {
            let end = if rest.starts_with("{%") { "%}" } else { "}}" };
            let head = loop_head(rest);
            out.push_str(&rest[..head.max(2)]);
            if head > 0 {
                let iterable = loop_iterable(&rest[head..]);
                out.push('(');
                expression(&mut out, &rest[head..head + iterable], None);
                out.push_str(&format!(")|{} ", filters::ITERABLE));
                head + iterable + expression(&mut out, &rest[head + iterable..], Some(end))
            } else {
                2 + expression(&mut out, &rest[2..], Some(end))
            }
        } else {
            copy(&mut out, rest, 1)
        };
        rest = &rest[length..];
    }
    out.push_str(rest);
    (out, marks_generation)
}

fn copy(out: &mut String, text: &str, length: usize) -> usize {
    out.push_str(&text[..length]);
    length
}

/// A tag of a single word at the beginning of `text`: its whitespace signs, its word, its length.
fn bare_tag(text: &str) -> Option<(&str, &str, &str, usize)> {
    let inner = text.strip_prefix("{%")?;
    let inner = &inner[..inner.find("%}")?];
    let open = &inner[..usize::from(inner.starts_with(['-', '+']))];
    let word = inner[open.len()..].trim_end_matches(['-', '+']);
    let close = &inner[open.len() + word.len()..];
    let name = word.trim();
    let is_word = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_word.then_some((open, name, close, inner.len() + 4))
}

/// Length of a raw block whose opening tag has length `open`.
fn raw_block(text: &str, open: usize) -> usize {
    let mut at = open;
    while let Some(next) = text[at..].find("{%") {
        at += next;
        match bare_tag(&text[at..]) {
            Some((_, "endraw", _, length)) => return at + length,
            _ => at += 2,
        }
    }
    text.len()
}

/// Length of `{% for … in ` at the beginning of `text`; 0 if it is something else.
fn loop_head(text: &str) -> usize {
    let Some(inner) = text.strip_prefix("{%") else { return 0 };
    let signed = inner.trim_start_matches(['-', '+']).trim_start();
    if !signed.starts_with("for") || !signed[3..].starts_with(char::is_whitespace) {
        return 0;
    }
    let head = word(signed, &["in"]).map(|at| text.len() - signed.len() + at + "in".len());
    head.unwrap_or(0)
}

/// Length of what a loop goes over: up to its `if`, to `recursive`, or to the tag's end.
fn loop_iterable(text: &str) -> usize {
    word(text, &["if", "recursive", "%}", "-%}", "+%}"]).unwrap_or(text.len())
}

/// Where the first of some words stands outside of brackets and strings.
fn word(text: &str, words: &[&str]) -> Option<usize> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        let starts = |word: &str| {
            rest.starts_with(word) && !(is_part(c) && rest[word.len()..].starts_with(is_part))
        };
        if words.iter().any(|word| starts(word)) {
            return Some(at);
        }
        at += match c {
            '(' | '[' | '{' => group(rest),
            '\'' | '"' => string(&mut String::new(), rest),
            c if is_part(c) => rest.len() - rest.trim_start_matches(is_part).len(),
            c => c.len_utf8(),
        };
    }
    None
}

/// A bracket that is open: where it stands in `out`, and the colons directly inside it.
struct Open {
    bracket: char,
    at: usize,
    colons: Vec<usize>,
}

/// Rewrites an expression up to and with `end` (or all of `text`); returns the length read.
fn expression(out: &mut String, text: &str, end: Option<&str>) -> usize {
    let mut open: Vec<Open> = Vec::new();
    let mut at = 0;
    let mut after_string = false;
    while let Some(c) = text[at..].chars().next() {
        let rest = &text[at..];
        if let Some(end) = end.filter(|end| open.is_empty() && rest.starts_with(end)) {
            return at + copy(out, rest, end.len());
        }
        let was_string = after_string;
        after_string = (was_string && c.is_whitespace()) || c == '\'' || c == '"';
        at += match c {
            '\'' | '"' => string(out, rest),
            '(' | '[' | '{' => {
                open.push(Open { bracket: c, at: out.len(), colons: Vec::new() });
                copy(out, rest, 1)
            }
            ')' | ']' | '}' => {
                let opened = open.pop();
                match opened.filter(|opened| opened.bracket == '[' && !opened.colons.is_empty()) {
                    Some(slice) => {
                        let call = slice_call(&out[slice.at..], &slice);
                        out.truncate(slice.at);
                        out.push_str(&call);
                        1
                    }
                    None => copy(out, rest, 1),
                }
            }
            ':' => {
                if let Some(inside) = open.last_mut() {
                    inside.colons.push(out.len());
                }
                copy(out, rest, 1)
            }
            '%' if was_string => {
                let length = operand(&rest[1..]);
                out.push_str(&format!(".{FORMAT}("));
                expression(out, &rest[1..1 + length], None);
                out.push(')');
                1 + length
            }
            c => copy(out, rest, c.len_utf8()),
        };
    }
    at
}

/// `[a:b:c` as a call; what is left out is `none`.
fn slice_call(text: &str, slice: &Open) -> String {
    let mut bounds: Vec<&str> = Vec::new();
    let mut from = 1;
    for colon in slice.colons.iter().map(|colon| colon - slice.at).chain([text.len()]) {
        let bound = text[from..colon].trim();
        bounds.push(if bound.is_empty() { "none" } else { bound });
        from = colon + 1;
    }
    format!(".{SLICE}({})", bounds.join(", "))
}

/// Length of the operand at the beginning of `text`: a primary with attributes, subscripts, calls
/// and filters.
fn operand(text: &str) -> usize {
    let mut at = text.len() - text.trim_start().len();
    at += usize::from(text[at..].starts_with('-'));
    loop {
        let rest = &text[at..];
        at += match rest.chars().next() {
            Some('(' | '[' | '{') => group(rest),
            Some('\'' | '"') => string(&mut String::new(), rest),
            Some('.') => 1,
            Some('|') => 1 + (rest.len() - 1 - rest[1..].trim_start().len()),
            Some(c) if c.is_alphanumeric() || c == '_' => c.len_utf8(),
            Some(c) if c.is_whitespace() && rest.trim_start().starts_with('|') => c.len_utf8(),
            _ => return at,
        };
    }
}

/// Length of a bracketed group.
fn group(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            '\'' | '"' => {
                at += string(&mut String::new(), &text[at..]);
                continue;
            }
            _ => {}
        }
        at += c.len_utf8();
        if depth == 0 {
            break;
        }
    }
    at
}

/// Rewrites the string literal at the beginning of `text`; returns its length.
fn string(out: &mut String, text: &str) -> usize {
    let quote = text.as_bytes()[0];
    let mut end = 1;
    while let Some(&byte) = text.as_bytes().get(end) {
        match byte {
            b'\\' => end += 1 + text[end + 1..].chars().next().map_or(0, char::len_utf8),
            byte if byte == quote => break,
            _ => end += 1,
        }
    }
    if end >= text.len() {
        // Never closed: minijinja says so.
        return copy(out, text, text.len());
    }
    let inside = &text[1..end];
    if !inside.contains('\\') {
        return copy(out, text, end + 1);
    }
    out.push('"');
    for c in unescape(inside).chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out.push('"');
    end + 1
}

/// Python's escapes; those that it does not know stay as they are.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\\') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let Some(c) = rest.chars().next() else { break };
        let (decoded, length) = match c {
            '\n' => (None, 1),
            '\\' | '\'' | '"' => (Some(c), 1),
            'a' => (Some('\u{7}'), 1),
            'b' => (Some('\u{8}'), 1),
            'f' => (Some('\u{c}'), 1),
            'n' => (Some('\n'), 1),
            'r' => (Some('\r'), 1),
            't' => (Some('\t'), 1),
            'v' => (Some('\u{b}'), 1),
            '0'..='7' => coded(rest, 0, 8, 1..=3),
            'x' => coded(rest, 1, 16, 2..=2),
            'u' => coded(rest, 1, 16, 4..=4),
            'U' => coded(rest, 1, 16, 8..=8),
            _ => (Some('\\'), 0),
        };
        out.extend(decoded);
        rest = &rest[length..];
    }
    out.push_str(rest);
    out
}

/// A character by its code: `skip` bytes, then digits of `radix`. One that is not a code stays.
fn coded(
    text: &str,
    skip: usize,
    radix: u32,
    digits: std::ops::RangeInclusive<usize>,
) -> (Option<char>, usize) {
    let count = text[skip..].chars().take(*digits.end()).take_while(|c| c.is_digit(radix)).count();
    let code = text.get(skip..skip + count).and_then(|code| u32::from_str_radix(code, radix).ok());
    match code.and_then(char::from_u32).filter(|_| digits.contains(&count)) {
        Some(c) => (Some(c), skip + count),
        None => (Some('\\'), 0),
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    fn rewritten(source: &str) -> String {
        rewrite(source).0
    }

    #[test]
    fn slices_become_calls() {
        assert_eq!(rewritten("{{ x[::-1] }}"), "{{ x.__slice__(none, none, -1) }}");
        assert_eq!(
            rewritten("{% for m in a.b[1:c[:2]|length][0] %}"),
            "{% for m in( a.b.__slice__(1, c.__slice__(none, 2)|length)[0] )|__iterable__ %}"
        );
        assert_eq!(rewritten("{{ {'a': [1, 2]}['a'] }} [1:2]"), "{{ {'a': [1, 2]}['a'] }} [1:2]");
        assert_eq!(rewritten("{{ '[1:2]' }}{# x[1:] #}"), "{{ '[1:2]' }}{# x[1:] #}");
        assert_eq!(
            rewritten("{% raw %}{{ x[1:] }}{% endraw %}{{ x[1:] }}"),
            "{% raw %}{{ x[1:] }}{% endraw %}{{ x.__slice__(1, none) }}"
        );
    }

    #[test]
    fn loops_refuse_none() {
        assert_eq!(
            rewritten("{%- for k, v in x.y('in', [1 if a else 2]) if v in k recursive -%}"),
            "{%- for k, v in( x.y('in', [1 if a else 2]) )|__iterable__ if v in k recursive -%}"
        );
        assert_eq!(rewritten("{% for inner in index-%}"), "{% for inner in( index)|__iterable__ -%}");
        assert_eq!(rewritten("{% fortune in x %}"), "{% fortune in x %}");
        assert_eq!(rewritten("{% for x"), "{% for x");
    }

    #[test]
    fn literals_are_formatted_and_unescaped() {
        assert_eq!(
            rewritten("{{ '%s' % x.y[0]|trim ~ 'b' }}"),
            "{{ '%s' .__mod__( x.y[0]|trim) ~ 'b' }}"
        );
        assert_eq!(rewritten("{{ '%d' % (1, 2) }}{% if x %}"), "{{ '%d' .__mod__( (1, 2)) }}{% if x %}");
        assert_eq!(rewritten(r#"{{ 'a\'\"\x41\d\n' }}"#), "{{ \"a'\\\"A\\\\d\n\" }}");
        assert_eq!(rewritten("{% set x = 'a' %}"), "{% set x = 'a' %}");
        assert_eq!(rewritten("{{ 'open"), "{{ 'open");
    }

    #[test]
    fn generation_tags_become_call_blocks() {
        let (source, found) =
            rewrite("{% if x %}a{%- generation -%} {{ y }}{% endgeneration %}{% endif %}");
        assert!(found);
        assert_eq!(
            source,
            "{% if x %}a{%- call __generation__() -%} {{ y }}{% endcall %}{% endif %}"
        );
        assert!(!rewrite("{% set generation = 1 %}{{ generation }}{%").1);
    }
}
