//! What opens an assistant's turn, and where it ends in what a template writes for the turn.

use super::vary::{self, common};
use crate::template::{ChatTemplate, Message, Rendering, TurnParts};

/// What a template writes to open an assistant's turn after `messages`, without what opens the model's
/// reasoning.
pub fn opening(template: &ChatTemplate, messages: &[Message], rendering: Rendering) -> Option<String> {
    let open = Rendering { add_generation_prompt: true, ..rendering };
    let written = |messages: &[Message]| {
        let text = template.render(messages, open).ok()?;
        let start = prompt_start(template, messages, open, &text)?;
        Some(text[start..].to_owned())
    };
    // If the template cannot render the turns before on their own, a question is rendered instead.
    let question = [Message::new("user", "Which fruit is yellow?")];
    let mut opening = written(messages).or_else(|| written(&question))?;
    opening.truncate(reasoning_tag(&opening).unwrap_or(opening.len()));
    Some(opening)
}

/// Where the generation prompt begins in `asked`, the rendering of `messages` with it: where it begins to
/// differ from the rendering without it, in the last turn's part or after the loop over messages; if both
/// are the same, after the loop.
pub fn prompt_start(
    template: &ChatTemplate,
    messages: &[Message],
    open: Rendering,
    asked: &str,
) -> Option<usize> {
    let parts = template.turn_parts(messages, open, asked);
    let tail = parts.as_ref().map(|parts| parts.tail);
    let closed = Rendering { add_generation_prompt: false, ..open };
    let Ok(closed) = template.render(messages, closed) else { return tail };
    let mut start = common(asked, &closed);
    if start < closed.len() {
        start = whole_tags(asked, start);
    }
    let last = parts.and_then(|parts| parts.parts.last().cloned().flatten());
    let bound = last.map_or(tail, |part| Some(part.start.min(tail.unwrap_or(part.start))));
    match start < asked.len() && bound.is_none_or(|bound| bound <= start) {
        true => Some(start),
        false => tail,
    }
}

/// The length of what opens the turn at the beginning of `written`.
pub fn opened(written: &str, opening: &str) -> usize {
    if let (Some(at), false) = (written.find(opening), opening.is_empty()) {
        return at + opening.len();
    }
    whole_tags(written, common(written, opening))
}

/// The length of what opens a turn at the beginning of `written`, which is the turn's part of the text. It
/// is found as what stays the same when the turn says something else. This is for templates that open no
/// turn when they are asked to.
pub fn unchanged(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    turn: usize,
    written: &str,
) -> Option<usize> {
    let mut length = written.len();
    for word in vary::WORDS {
        let other = vary::with_words(messages, turn, word);
        let text = template.render(&other, rendering).ok()?;
        let parts = parts(template, &other, rendering, &text)?;
        let part = parts.parts[turn].clone()?;
        length = length.min(common(written, &text[part]));
    }
    let length = whole_tags(written, length);
    let opening = &written[..reasoning_tag(&written[..length]).unwrap_or(length)];
    // White space alone does not open a turn.
    Some(if opening.trim().is_empty() { 0 } else { opening.len() })
}

/// Which part of `text` is written for each message. The last turn's part goes to the end of the text, also
/// if the template leaves this turn out of its loop and writes it, and no other turn, after the loop.
pub fn parts(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Option<TurnParts> {
    let mut parts = template.turn_parts(messages, rendering, text)?;
    let last = messages.len().checked_sub(1)?;
    let tail = parts.tail..text.len();
    match &mut parts.parts[last] {
        Some(part) => part.end = text.len(),
        None => {
            let region = |turn| vary::region(template, messages, rendering, text, turn);
            let in_tail = |turn: &usize| region(*turn).is_some_and(|own| own.start >= tail.start);
            let others: Vec<usize> = (0..last).filter(|&turn| parts.parts[turn].is_none()).collect();
            if others.len() < last && in_tail(&last) && !others.iter().any(in_tail) {
                parts.parts[last] = Some(tail);
            }
        }
    }
    Some(parts)
}

/// Where a tag that is about the model's reasoning begins: `<think>`, `</think>`, `[THINK]`,
/// `<|channel|>`, ….
pub fn reasoning_tag(text: &str) -> Option<usize> {
    text.match_indices(['<', '[', '◁']).map(|(at, _)| at).find(|&at| {
        let tag = text[at..].find(['>', ']', '▷']).map_or(&text[at..], |end| &text[at..at + end]);
        let tag = tag.to_lowercase();
        ["think", "thought", "reason", "channel"].iter().any(|word| tag.contains(word))
    })
}

/// `length`, or if that is inside of a tag, the smaller length at which the tag begins.
pub fn whole_tags(text: &str, length: usize) -> usize {
    let before = &text[..length];
    let open = before.rfind(['<', '[']);
    open.filter(|&at| !before[at..].contains(['>', ']'])).unwrap_or(length)
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
}
