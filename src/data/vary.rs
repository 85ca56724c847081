//! Which part of a text depends on one turn alone: what changes when the turn says something else.

use std::ops::Range;

use serde_json::{Value, json};

use crate::template::{ChatTemplate, Message, REASONING, Rendering};

/// The words that a turn is made to say. They begin and end differently, so that what a text has in common
/// with both is not part of them.
pub const WORDS: [&str; 2] = ["Zq0Kx", "5vJ9w"];

/// The messages with one changed so that it says only `word`. A turn of the assistant loses its reasoning
/// and its calls. A turn of another role keeps the keys that connect it to calls.
pub fn with_words(messages: &[Message], turn: usize, word: &str) -> Vec<Message> {
    let mut other = messages.to_vec();
    let message = &mut other[turn];
    message.content = match &message.content {
        Value::Array(_) => json!([{"type": "text", "text": word}]),
        _ => Value::from(word),
    };
    if message.role == "assistant" {
        message.extra.retain(|key, _| key != "tool_calls" && !REASONING.contains(&key.as_str()));
    }
    other
}

/// The part of `text`, the rendering of `messages`, that changes with what a turn says. `None` if no part
/// does, or if the template does not accept other words.
pub fn region(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
    turn: usize,
) -> Option<Range<usize>> {
    let mut found: Option<Range<usize>> = None;
    for word in WORDS {
        let other = template.render(&with_words(messages, turn, word), rendering).ok()?;
        let Some(changed) = changed(text, &other) else { continue };
        found = Some(match found {
            Some(found) => found.start.min(changed.start)..found.end.max(changed.end),
            None => changed,
        });
    }
    found
}

/// The part of `text` in which another text differs; `None` if both are the same.
pub fn changed(text: &str, other: &str) -> Option<Range<usize>> {
    if text == other {
        return None;
    }
    let start = common(text, other);
    let end = common_end(&text[start..], &other[start..]);
    Some(start..text.len() - end)
}

/// The number of bytes, in whole characters, that two texts have in common at their beginning.
pub fn common(one: &str, other: &str) -> usize {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// The number of bytes, in whole characters, that two texts have in common at their end.
pub fn common_end(one: &str, other: &str) -> usize {
    let same = one.chars().rev().zip(other.chars().rev()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changed_lies_between_what_is_common() {
        assert_eq!(changed("a<é>b", "a<è>b"), Some(2..4));
        assert_eq!(changed("aab", "ab"), Some(1..2));
        assert_eq!(changed("ab", "aab"), Some(1..1));
        assert_eq!(changed("ab", "ab"), None);
    }
}
