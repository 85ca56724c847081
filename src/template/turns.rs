//! Which part of a text a template writes for each message.
//!
//! Templates iterate over the messages in loops. Every such loop's body is made to begin with a mark, and
//! the loop to be followed by one, both written as empty call blocks, so that the white space around them
//! is treated as before. What is written between two marks of the outermost loop over messages belongs to
//! the message of the first. This works for any template, even if what it writes depends on a turn's place
//! in the conversation.

use std::ops::Range;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, Error, State, tests};

/// What the body of a loop begins with: the loop's number and the item.
const BEGIN: &str = "__turn__";
/// What follows a loop: its number.
const END: &str = "__turned__";
/// A variable that holds the messages too, so that loops over them can be recognised.
pub const MESSAGES: &str = "__turns__";
/// The variable that holds what marks begin with. Without it no marks are written.
pub const SENTINEL: &str = "__turn_sentinel__";
/// How many names of the messages are followed.
const ALIASES: usize = 64;
/// What marks end with.
const CLOSE: char = '\u{e002}';

/// Where in its text the template wrote what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TurnParts {
    /// For each message, the part of the text that was written for it; `None` if it was written outside of
    /// the loops, as system turns often are, or in several places.
    pub parts: Vec<Option<Range<usize>>>,
    /// Where the text after the last loop over messages begins.
    pub tail: usize,
}

/// The source with marks in its loops over messages; `None` if it has no such loop. Loops over the parts of
/// a turn's content are not marked, because templates may examine what these write before they write it
/// out.
pub fn mark_loops(source: &str) -> Option<String> {
    let mut out = String::with_capacity(source.len() + 256);
    let mut open: Vec<Option<usize>> = Vec::new();
    let mut names = vec!["messages"];
    let mut loops = 0;
    let mut at = 0;
    while let Some(start) = source[at..].find('{').map(|found| at + found) {
        out.push_str(&source[at..start]);
        let rest = &source[start..];
        let length = if rest.starts_with("{#") {
            rest.find("#}").map_or(rest.len(), |end| end + 2)
        } else if rest.starts_with("{{") {
            closed(rest, "}}")
        } else if rest.starts_with("{%") {
            closed(rest, "%}")
        } else {
            1
        };
        let tag = &rest[..length];
        at = start + length;
        let Some(inner) = tag.strip_prefix("{%").and_then(|tag| tag.strip_suffix("%}")) else {
            out.push_str(tag);
            continue;
        };
        let sign = inner.chars().next_back().filter(|c| matches!(c, '-' | '+'));
        let sign = sign.map(String::from).unwrap_or_default();
        let words = inner.trim_start_matches(['-', '+']).trim_end_matches(['-', '+']).trim();
        match words.split_whitespace().next() {
            Some("raw") => {
                let end = raw_end(&source[at..]);
                out.push_str(tag);
                out.push_str(&source[at..at + end]);
                at += end;
            }
            Some("for") => {
                out.push_str(tag);
                open.push(target(words, &names).map(|name| {
                    loops += 1;
                    out.push_str(&format!("{{% call {BEGIN}({loops}, {name}) %}}{{% endcall {sign}%}}"));
                    loops
                }));
            }
            Some("set") => {
                out.push_str(tag);
                names.extend(alias(words, &names).filter(|_| names.len() < ALIASES));
            }
            Some("endfor") => match open.pop().flatten() {
                Some(number) => {
                    let head = tag[..tag.len() - 2 - sign.len()].trim_end();
                    out.push_str(&format!("{head} %}}{{% call {END}({number}) %}}{{% endcall {sign}%}}"));
                }
                None => out.push_str(tag),
            },
            _ => out.push_str(tag),
        }
    }
    out.push_str(&source[at..]);
    (loops > 0).then_some(out)
}

/// Makes the marks known to an environment.
pub fn add_to(environment: &mut Environment) {
    environment.add_function(BEGIN, begin);
    environment.add_function(END, end);
}

fn begin(state: &mut State, number: usize, item: Value, _caller: Kwargs) -> Result<String, Error> {
    let Some(sentinel) = sentinel(state) else { return Ok(String::new()) };
    let messages = state.lookup(MESSAGES).unwrap_or_default();
    let found = messages.try_iter()?.position(|message| tests::is_sameas(&message, &item));
    Ok(found.map_or_else(String::new, |index| format!("{sentinel}{number}.{index}{CLOSE}")))
}

fn end(state: &mut State, number: usize, _caller: Kwargs) -> Result<String, Error> {
    Ok(sentinel(state).map_or_else(String::new, |sentinel| format!("{sentinel}{number}{CLOSE}")))
}

fn sentinel(state: &State) -> Option<String> {
    state.lookup(SENTINEL)?.as_str().map(str::to_owned)
}

/// The text without its marks, and what they mark. `None` if a mark was cut, for example by a filter that
/// is applied to what a loop writes.
pub fn read_marks(marked: &str, sentinel: &str, messages: usize) -> Option<(String, TurnParts)> {
    let mut pieces = marked.split(sentinel);
    let mut text = pieces.next().unwrap_or_default().to_owned();
    let mut parts: Vec<Option<Range<usize>>> = vec![None; messages];
    let mut scattered = vec![false; messages];
    // The loops that are open, outermost first, each with the message that it has reached.
    let mut open: Vec<(usize, usize)> = Vec::new();
    let mut tail = 0;
    for piece in pieces {
        let (mark, written) = piece.split_once(CLOSE)?;
        match mark.split_once('.') {
            Some((number, index)) => {
                let (number, index) = (number.parse().ok()?, index.parse().ok()?);
                match open.last_mut().filter(|inner| inner.0 == number) {
                    Some(inner) => inner.1 = index,
                    None => open.push((number, index)),
                }
            }
            None => {
                let number: usize = mark.parse().ok()?;
                if open.last().is_some_and(|inner| inner.0 == number) {
                    open.pop();
                }
                tail = text.len();
            }
        }
        let start = text.len();
        text.push_str(written);
        let Some(&(_, index)) = open.first().filter(|_| !written.is_empty()) else { continue };
        match parts.get_mut(index)? {
            Some(part) if part.end == start => part.end = text.len(),
            Some(_) => scattered[index] = true,
            empty => *empty = Some(start..text.len()),
        }
    }
    for (part, _) in parts.iter_mut().zip(scattered).filter(|(_, scattered)| *scattered) {
        *part = None;
    }
    Some((text, TurnParts { parts, tail }))
}

/// The name of a loop's only target, if the loop iterates over messages.
fn target<'a>(words: &'a str, names: &[&str]) -> Option<&'a str> {
    let (name, rest) = name(words.strip_prefix("for")?)?;
    let items = rest.strip_prefix("in").filter(|items| !items.starts_with(is_part))?;
    are_messages(items, names).then_some(name)
}

/// The name that a `set` tag sets to the messages, if it does.
fn alias<'a>(words: &'a str, names: &[&str]) -> Option<&'a str> {
    let (name, rest) = name(words.strip_prefix("set")?)?;
    let items = rest.strip_prefix('=')?.trim_start();
    let starts = |known: &&str| items.strip_prefix(*known).is_some_and(|after| !after.starts_with(is_part));
    (names.iter().any(starts) && are_messages(items, names)).then_some(name)
}

/// A name at the beginning of a text, and what follows it.
fn name(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    let length = text.find(|c: char| !is_part(c))?;
    (length > 0).then(|| (&text[..length], text[length..].trim_start()))
}

/// Whether an expression is about the messages as a whole, and not about one of them or what it says.
fn are_messages(items: &str, names: &[&str]) -> bool {
    let is_one = |after: &str| {
        after.starts_with('[') && !after[..after.find(']').unwrap_or(after.len())].contains(':')
    };
    let has = |name: &&str| {
        items.match_indices(*name).any(|(at, _)| {
            let after = &items[at + name.len()..];
            !items[..at].ends_with(is_part) && !after.starts_with(is_part) && !is_one(after)
        })
    };
    names.iter().any(has) && !items.contains("content") && !items.contains("tool_calls")
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The length of a tag up to its end, which is outside of strings and brackets.
fn closed(text: &str, end: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 2;
    while let Some(c) = text[at..].chars().next() {
        if depth == 0 && text[at..].starts_with(end) {
            return at + end.len();
        }
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '\'' | '"' => {
                at += quoted(&text[at..]);
                continue;
            }
            _ => {}
        }
        at += c.len_utf8();
    }
    text.len()
}

/// The length of a string literal.
fn quoted(text: &str) -> usize {
    let quote = text.as_bytes()[0];
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if byte == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw block up to and including its end.
fn raw_end(text: &str) -> usize {
    let mut at = 0;
    while let Some(start) = text[at..].find("{%").map(|found| at + found) {
        let length = text[start..].find("%}").map_or(text.len() - start, |end| end + 2);
        let inner = &text[start + 2..start + length];
        let word = inner.trim_start_matches(['-', '+']).trim_start();
        if word.starts_with("endraw") {
            return start + length;
        }
        at = start + 2;
    }
    text.len()
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn loops_are_marked_and_their_white_space_stays() {
        assert_eq!(
            mark_loops("a{%- for m in messages -%}\n b{{ {'}}': {}}['}}'] }}{%+ endfor %}\n").unwrap(),
            "a{%- for m in messages -%}{% call __turn__(1, m) %}{% endcall -%}\n b{{ {'}}': {}}['}}'] }}\
             {%+ endfor %}{% call __turned__(1) %}{% endcall %}\n"
        );
        assert_eq!(mark_loops("{% for k, v in messages %}{% endfor %}{# {% for m in messages %} #}"), None);
        assert_eq!(mark_loops("{% raw %}{% for m in messages %}{% endfor %}{% endraw %}"), None);
        assert_eq!(
            mark_loops("{% for m in x %}{% for p in messages[0].content %}{% endfor %}{% endfor %}"),
            None
        );
        assert_eq!(mark_loops("{% for c in messages[-1].tool_calls %}{% endfor %}"), None);
        assert_eq!(mark_loops("{% for c in messages[i]['calls'] %}{% endfor %}"), None);
        assert!(mark_loops("{% set rest = messages[1:] %}{% for m in rest|list %}{% endfor %}").is_some());
    }

    #[test]
    fn what_is_written_between_marks_is_a_message_s() {
        let read = |marked| read_marks(marked, "@", 3);
        let (text, found) =
            read("pre@1.0\u{e002}one@1.1\u{e002}two@2.2\u{e002}in@2\u{e002}ner@1\u{e002}post").unwrap();
        assert_eq!(text, "preonetwoinnerpost");
        assert_eq!(found, TurnParts { parts: vec![Some(3..6), Some(6..14), None], tail: 14 });
        // Here one loop writes nothing, and one message is written in two places.
        let (_, found) =
            read("@1.1\u{e002}@1.0\u{e002}@1\u{e002}a@2.0\u{e002}b@2.1\u{e002}c@2.0\u{e002}d@2\u{e002}")
                .unwrap();
        assert_eq!(found, TurnParts { parts: vec![None, Some(2..3), None], tail: 4 });
        assert_eq!(read("@1.0"), None);
    }
}
