//! Whether a row's content reaches the text that its template makes of it.
//!
//! Every message's text, every call's name and arguments and every tool's name must be in the text: as the
//! template trims it, with runs of white space as one space, or escaped as in JSON. Texts that are so short
//! that they may be found by chance, or that occur more than once in a row, are replaced by other words,
//! which must be found in another rendering.

use std::borrow::Cow;

use serde_json::Value;

use super::reason::RowReason;
use crate::template::Message;

/// Texts of at least this length, in bytes, are not found by chance.
const TELLING: usize = 24;
/// What closes a turn's reasoning within its content.
const THOUGHT: &str = "</think>";

/// What a piece of content is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceKind {
    Text,
    Reasoning,
    Call,
    Argument,
    Tool,
}

/// A piece of a row's content, and where it is.
#[derive(Debug, Clone)]
struct ContentPiece<'a> {
    what: PieceKind,
    text: &'a str,
    /// The turn; `None` for tools.
    turn: Option<usize>,
    /// The key of the turn, and the pointer into the key's value.
    key: &'a str,
    pointer: String,
    /// Whether the piece is only a part of the text that is there.
    within: bool,
}

/// Errors if `text`, which a template made of `messages` and `tools`, lacks some of their content.
/// `Ok(true)` if it lacks only reasoning of turns before the last question, which some templates leave out
/// on purpose. `render` renders other messages and tools in the same way.
pub fn check(
    messages: &[Message],
    tools: Option<&Value>,
    text: &str,
    render: impl Fn(&[Message], Option<&Value>) -> Option<String>,
) -> Result<bool, RowReason> {
    let last_question = messages.iter().rposition(|message| message.role == "user").unwrap_or(0);
    let lost = |piece: &ContentPiece| RowReason::ContentLost(told(piece, messages));
    let may_lack = |piece: &ContentPiece| {
        piece.what == PieceKind::Reasoning && piece.turn.is_some_and(|turn| turn < last_question)
    };
    let pieces = pieces(messages, tools);
    let mut written = SearchedText::new(text);
    let mut left_out = false;
    let mut unsure = Vec::new();
    for piece in &pieces {
        let is_name = matches!(piece.what, PieceKind::Call | PieceKind::Tool | PieceKind::Argument);
        if is_name {
            unsure.push(Cow::Borrowed(piece));
        } else if written.holds(piece.text) {
            let again = |other: &ContentPiece| !std::ptr::eq(other, piece) && other.text.contains(piece.text);
            if piece.text.len() < TELLING || pieces.iter().any(again) {
                unsure.push(Cow::Borrowed(piece));
            }
        } else if let Some([thought, answer]) = taken_apart(piece, messages) {
            if !written.holds(answer.text) {
                return Err(lost(piece));
            }
            if !written.holds(thought.text) {
                if !may_lack(&thought) {
                    return Err(lost(&thought));
                }
                left_out = true;
            } else {
                unsure.push(Cow::Owned(thought));
            }
            unsure.push(Cow::Owned(answer));
        } else if may_lack(piece) {
            left_out = true;
        } else {
            return Err(lost(piece));
        }
    }
    unsure.retain(|piece| !piece.text.is_empty() && !piece.text.contains(THOUGHT));
    if unsure.is_empty() {
        return Ok(left_out);
    }
    let words: Vec<String> = (0..)
        .map(|n: usize| format!("Zq{n}Kx"))
        .filter(|word| !text.contains(word.as_str()))
        .take(unsure.len())
        .collect();
    let (mut others, mut other_tools) = (messages.to_vec(), tools.cloned());
    for (piece, word) in unsure.iter().zip(&words) {
        put(piece, word, &mut others, other_tools.as_mut());
    }
    // If the other words cannot be rendered, it must be enough that the row's own words were found.
    let Some(other) = render(&others, other_tools.as_ref()) else {
        let missing =
            unsure.into_iter().find(|piece| piece.what != PieceKind::Argument && !written.holds(piece.text));
        return missing.map_or(Ok(left_out), |piece| Err(lost(&piece)));
    };
    for (piece, word) in unsure.iter().zip(&words) {
        if other.contains(word.as_str()) {
            continue;
        }
        if !may_lack(piece) {
            return Err(lost(piece));
        }
        left_out = true;
    }
    Ok(left_out)
}

/// Everything that must be in the text.
fn pieces<'a>(messages: &'a [Message], tools: Option<&'a Value>) -> Vec<ContentPiece<'a>> {
    let mut pieces = Vec::new();
    let mut add = |what, text: &'a str, turn, key, pointer| {
        if !text.trim().is_empty() {
            pieces.push(ContentPiece { what, text: text.trim(), turn, key, pointer, within: false });
        }
    };
    for (turn, message) in messages.iter().enumerate() {
        let turn = Some(turn);
        match &message.content {
            Value::String(text) => add(PieceKind::Text, text, turn, "content", String::new()),
            Value::Array(parts) => {
                for (index, part) in parts.iter().enumerate() {
                    let text = part.get("text").and_then(Value::as_str).unwrap_or_default();
                    add(PieceKind::Text, text, turn, "content", format!("/{index}/text"));
                }
            }
            _ => {}
        }
        if let Some((key, Value::String(text))) = message.reasoning() {
            add(PieceKind::Reasoning, text, turn, key, String::new());
        }
        for (index, call) in message.calls().iter().enumerate() {
            let (function, at) = function(call, index);
            if let Some(name) = function.get("name").and_then(Value::as_str) {
                add(PieceKind::Call, name, turn, "tool_calls", format!("{at}/name"));
            }
            if let Some(arguments) = function.get("arguments") {
                for (text, at) in leaves(arguments, format!("{at}/arguments")) {
                    add(PieceKind::Argument, text, turn, "tool_calls", at);
                }
            }
        }
    }
    for (index, tool) in tools.and_then(Value::as_array).into_iter().flatten().enumerate() {
        let (function, at) = function(tool, index);
        if let Some(name) = function.get("name").and_then(Value::as_str) {
            add(PieceKind::Tool, name, None, "", format!("{at}/name"));
        }
    }
    pieces
}

/// The function of a call or a tool, in either way of writing it, and the pointer to it in the list.
pub fn function(value: &Value, index: usize) -> (&Value, String) {
    match value.get("function") {
        Some(function) if function.is_object() => (function, format!("/{index}/function")),
        _ => (value, format!("/{index}")),
    }
}

/// The texts in a value, and the pointers to them.
fn leaves(value: &Value, at: String) -> Vec<(&str, String)> {
    match value {
        Value::String(text) => vec![(text, at)],
        Value::Array(items) => {
            items.iter().enumerate().flat_map(|(index, item)| leaves(item, format!("{at}/{index}"))).collect()
        }
        Value::Object(map) => {
            let escaped = |key: &str| key.replace('~', "~0").replace('/', "~1");
            map.iter().flat_map(|(key, item)| leaves(item, format!("{at}/{}", escaped(key)))).collect()
        }
        _ => Vec::new(),
    }
}

/// Puts `word` in a piece's place.
fn put(piece: &ContentPiece, word: &str, messages: &mut [Message], tools: Option<&mut Value>) {
    let value = match piece.turn.and_then(|turn| messages.get_mut(turn)) {
        Some(message) if piece.key == "content" => Some(&mut message.content),
        Some(message) => message.extra.get_mut(piece.key),
        None => tools,
    };
    let Some(value) = value.and_then(|value| value.pointer_mut(&piece.pointer)) else { return };
    let whole = value.as_str().filter(|_| piece.within).map(|text| {
        let answer = text.rfind(THOUGHT).map_or(0, |at| at + THOUGHT.len());
        let (thought, answer) = text.split_at(answer);
        match piece.what {
            PieceKind::Reasoning => thought.replacen(piece.text, word, 1) + answer,
            _ => thought.to_owned() + &answer.replacen(piece.text, word, 1),
        }
    });
    *value = Value::from(whole.unwrap_or_else(|| word.to_owned()));
}

/// Splits an assistant's content that holds its reasoning into that and what is said after it.
fn taken_apart<'a>(piece: &ContentPiece<'a>, messages: &[Message]) -> Option<[ContentPiece<'a>; 2]> {
    let turn = messages.get(piece.turn?)?;
    let (before, answer) = piece.text.rsplit_once(THOUGHT)?;
    let thought = before.rsplit_once("<think>").map_or(before, |(_, thought)| thought);
    (piece.what == PieceKind::Text && turn.role == "assistant").then(|| {
        let part =
            |what, text: &'a str| ContentPiece { what, text: text.trim(), within: true, ..piece.clone() };
        [part(PieceKind::Reasoning, thought), part(PieceKind::Text, answer)]
    })
}

/// Describes a piece in words.
fn told(piece: &ContentPiece, messages: &[Message]) -> String {
    let text: String = piece.text.chars().take(40).collect();
    let Some((turn, message)) = piece.turn.and_then(|turn| Some((turn + 1, messages.get(turn)?))) else {
        return format!("the tool `{text}`");
    };
    match piece.what {
        PieceKind::Text if message.content.is_array() => {
            format!("the text of turn {turn} ({}), which is a list of parts: {text:?}", message.role)
        }
        PieceKind::Text => format!("the text of turn {turn} ({}): {text:?}", message.role),
        PieceKind::Reasoning => format!("the reasoning of turn {turn} ({}): {text:?}", message.role),
        PieceKind::Call => format!("the call of `{text}` in turn {turn} ({})", message.role),
        PieceKind::Argument => format!("an argument of a call in turn {turn} ({}): {text:?}", message.role),
        PieceKind::Tool => format!("the tool `{text}`"),
    }
}

/// A text in the forms in which content is searched for. Each form is made when it is first needed.
struct SearchedText<'a> {
    text: &'a str,
    folded: Option<[String; 2]>,
}

impl<'a> SearchedText<'a> {
    fn new(text: &'a str) -> Self {
        Self { text, folded: None }
    }

    /// Whether the text holds `content`, which has no white space around it.
    fn holds(&mut self, content: &str) -> bool {
        if self.text.contains(content) {
            return true;
        }
        let [plain, unescaped] =
            self.folded.get_or_insert_with(|| [fold(self.text), fold(&unescape(self.text))]);
        let content = fold(content);
        plain.contains(&content)
            || unescaped.contains(&content)
            || content.contains('\\') && unescaped.contains(&fold(&unescape(&content)))
    }
}

/// The text with runs of white space as one space, and none around it.
fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for word in text.split_whitespace() {
        if !folded.is_empty() {
            folded.push(' ');
        }
        folded.push_str(word);
    }
    folded
}

/// The text with JSON's escapes replaced by what they stand for. Everything else stays.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let escape = &rest[at..];
        let length = match escape[1..].chars().next() {
            Some('u') => {
                let pair =
                    escape.get(..12).filter(|pair| pair[6..].starts_with("\\u") && decoded(pair).is_some());
                pair.map_or(6, str::len)
            }
            Some(c) => 1 + c.len_utf8(),
            None => 1,
        };
        match escape.get(..length).and_then(decoded) {
            Some(text) => {
                out.push_str(&text);
                rest = &escape[length..];
            }
            None => {
                out.push('\\');
                rest = &escape[1..];
            }
        }
    }
    out + rest
}

/// What an escape stands for.
fn decoded(escape: &str) -> Option<String> {
    serde_json::from_str(&format!("\"{escape}\"")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_trimmed_folded_and_escaped() {
        let mut written =
            SearchedText::new("user\\u4f60\\ud83d\\ude00 \"a\\n\\\"b\\\"\" one\n  two \\frac{1}");
        for content in ["你😀", "a\n\"b\"", "one two", "one\ntwo", "\\frac{1}"] {
            assert!(written.holds(content), "{content}");
        }
        assert!(!written.holds("three"));
        assert_eq!(unescape("a\\"), "a\\");
        assert_eq!(unescape("\\q\\u12"), "\\q\\u12");
    }
}
