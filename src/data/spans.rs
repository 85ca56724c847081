//! Where in a conversation's text the assistant's turns are.
//!
//! A turn is what the template writes for its message, from the end of what opens an assistant's turn:
//! that is what the template writes at the end of the turns before it when it is asked to open one
//! (`add_generation_prompt`). Where that opens the model's reasoning too (`<think>`), the reasoning's
//! tag is the model's: TRL's training templates have it so. The last turn goes to the text's end. The
//! turn ends with what the template writes for its message, end-of-turn token and line's end included.

use std::collections::HashMap;
use std::ops::Range;

use super::reason::Reason;
use crate::template::Message;
use crate::template::{ChatTemplate, Rendering, TurnParts};

/// The parts of `text` that the assistant's trained turns are, in order.
pub fn of_turns(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Result<Vec<Range<usize>>, Reason> {
    by_parts(template, messages, rendering, text)
        .or_else(|| by_prefixes(template, messages, rendering, text))
        .ok_or(Reason::PromptNotAPrefix)
}

/// The numbers of the assistant's trained turns.
fn trained(messages: &[Message]) -> impl Iterator<Item = usize> {
    (0..messages.len()).filter(|&turn| messages[turn].role == "assistant" && messages[turn].trained)
}

/// By what the template writes for each message.
fn by_parts(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Option<Vec<Range<usize>>> {
    let parts = template.turn_parts(messages, rendering, text)?;
    let mut openings: HashMap<&str, String> = HashMap::new();
    let mut spans = Vec::new();
    for turn in trained(messages) {
        let part = parts.parts[turn].clone()?;
        let end = if turn + 1 == messages.len() { text.len() } else { part.end };
        let written = &text[part.start..end];
        // What opens a turn follows from the turn before it, as a rule.
        let before = messages[..turn].last().map_or("", |last| last.role.as_str());
        let known = openings.get(before).filter(|opening| written.starts_with(opening.as_str()));
        let length = match known {
            Some(opening) => opening.len(),
            None => {
                let opening = opening(template, &messages[..turn], rendering)?;
                let length = opened(written, &opening);
                openings.insert(before, opening);
                length
            }
        };
        spans.push(part.start + length..end);
    }
    Some(spans)
}

/// By rendering the conversation up to a turn and with it, of templates whose texts grow as their
/// conversations do.
fn by_prefixes(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Option<Vec<Range<usize>>> {
    let open = Rendering { add_generation_prompt: true, ..rendering };
    let mut spans = Vec::new();
    for turn in trained(messages) {
        let before = template.render(&messages[..turn], open).ok()?;
        let after = template.render(&messages[..=turn], rendering).ok()?;
        if !text.starts_with(&after) || !after.starts_with(&before) {
            return None;
        }
        spans.push(before.len()..after.len());
    }
    Some(spans)
}

/// What a template writes to open an assistant's turn after `messages`, but for what opens the
/// model's reasoning.
fn opening(template: &ChatTemplate, messages: &[Message], rendering: Rendering) -> Option<String> {
    let open = Rendering { add_generation_prompt: true, ..rendering };
    let written = |messages: &[Message]| {
        let text = template.render(messages, open).ok()?;
        let tail = template.turn_parts(messages, open, &text)?.tail;
        Some(text[tail..].to_owned())
    };
    // Where the turns before do not stand alone, a question does.
    let question = [Message::new("user", "Which fruit is yellow?")];
    let mut opening = written(messages).or_else(|| written(&question))?;
    opening.truncate(reasoning_tag(&opening).unwrap_or(opening.len()));
    Some(opening)
}

/// Length of what opens the turn at the beginning of `written`.
fn opened(written: &str, opening: &str) -> usize {
    if let (Some(at), false) = (written.find(opening), opening.is_empty()) {
        return at + opening.len();
    }
    whole_tags(written, common(written, opening))
}

/// Where a tag that is about the model's reasoning begins: `<think>`, `</think>`, `[THINK]`,
/// `<|channel|>`, ….
fn reasoning_tag(text: &str) -> Option<usize> {
    text.match_indices(['<', '[', '◁']).map(|(at, _)| at).find(|&at| {
        let tag = text[at..].find(['>', ']', '▷']).map_or(&text[at..], |end| &text[at..at + end]);
        let tag = tag.to_lowercase();
        ["think", "thought", "reason", "channel"].iter().any(|word| tag.contains(word))
    })
}

/// Bytes that two texts have in common at their beginning, whole characters.
fn common(one: &str, other: &str) -> usize {
    let same = one.chars().zip(other.chars()).take_while(|(a, b)| a == b);
    same.map(|(c, _)| c.len_utf8()).sum()
}

/// `length`, or less, if that is inside of a tag: where the tag begins.
fn whole_tags(text: &str, length: usize) -> usize {
    let before = &text[..length];
    let open = before.rfind(['<', '[']);
    open.filter(|&at| !before[at..].contains(['>', ']'])).unwrap_or(length)
}

/// Where in `text`, a prompt and its answer, the completion starts: after `asked`, which is the
/// prompt's own text, or where both part. `None` if they part within the prompt's messages.
pub fn completion_start(
    template: &ChatTemplate,
    prompt: &[Message],
    open: Rendering,
    asked: &str,
    text: &str,
) -> Option<usize> {
    if text.starts_with(asked) {
        return Some(asked.len());
    }
    let start = common(text, asked);
    let tail = template.turn_parts(prompt, open, asked).map(|parts| parts.tail).or_else(|| {
        let closed = Rendering { add_generation_prompt: false, ..open };
        Some(common(asked, &template.render(prompt, closed).ok()?))
    });
    tail.filter(|&tail| tail > 0 && start >= tail)?;
    Some(start)
}

/// Spans without what was written for some turns. `None` if that is not known.
pub fn without(spans: Vec<Range<usize>>, parts: &TurnParts, turns: &[usize]) -> Option<Vec<Range<usize>>> {
    let mut left = spans;
    for &turn in turns {
        let part = parts.parts.get(turn)?.clone()?;
        left = left
            .into_iter()
            .flat_map(|span| {
                let before = span.start..span.end.min(part.start).max(span.start);
                let after = span.start.max(part.end).min(span.end)..span.end;
                [before, after]
            })
            .filter(|span| !span.is_empty())
            .collect();
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_opens_a_turn_ends_before_its_reasoning() {
        let cut = |text: &str| reasoning_tag(text).map_or(text.to_owned(), |at| text[..at].to_owned());
        assert_eq!(cut("<|im_start|>assistant\n<think>\n"), "<|im_start|>assistant\n");
        assert_eq!(cut("<｜Assistant｜></think>"), "<｜Assistant｜>");
        assert_eq!(cut("<|start|>assistant"), "<|start|>assistant");
        assert_eq!(opened("<｜Assistant｜>Four.", "<｜Assistant｜>"), "<｜Assistant｜>".len());
        assert_eq!(opened("<|end|>\n", "<|assistant|>\n"), 0);
    }

    #[test]
    fn spans_lose_what_is_not_trained() {
        let parts = TurnParts { parts: vec![Some(2..4), None], tail: 9 };
        assert_eq!(without(vec![0..6, 8..9], &parts, &[0]), Some(vec![0..2, 4..6, 8..9]));
        let (gone, unknown) = (2..4, 0..1);
        assert_eq!(without(vec![gone], &parts, &[0]), Some(vec![]));
        assert_eq!(without(vec![unknown], &parts, &[1]), None);
    }
}
