//! Where in a conversation's text the assistant's turns are.
//!
//! A turn is what the template writes for its message, from the end of what opens an assistant's turn: that
//! is what the template adds to the turns before it when it is asked to open one (`add_generation_prompt`).
//! If that opens the model's reasoning too (`<think>`), the reasoning's tag counts as written by the model,
//! as in TRL's training templates. The last turn goes to the text's end. A turn ends where what the
//! template writes for its message ends, and so includes the end-of-turn token and a newline. What the
//! template writes there for a tool's result does not belong to the turn: see [`results`].

use std::collections::HashMap;
use std::ops::Range;

use super::opening::{self, opened, opening, parts, reasoning_tag, whole_tags};
use super::ranges::less;
use super::reason::RowReason;
use super::results;
use super::vary::{self, common};
use crate::template::{ChatTemplate, Message, Rendering, TurnParts};

/// The parts of `text` that the assistant's trained turns are, in order.
pub fn of_turns(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Result<Vec<Range<usize>>, RowReason> {
    let spans = by_parts(template, messages, rendering, text)
        .or_else(|| by_prefixes(template, messages, rendering, text))
        .or_else(|| by_words(template, messages, rendering, text))
        .ok_or(RowReason::PromptNotAPrefix)?;
    results::cut_out(spans, template, messages, rendering, text)
}

/// The numbers of the assistant's trained turns.
fn trained(messages: &[Message]) -> impl Iterator<Item = usize> {
    (0..messages.len()).filter(|&turn| messages[turn].role == "assistant" && messages[turn].trained)
}

/// Finds the turns by what the template writes for each message.
fn by_parts(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Option<Vec<Range<usize>>> {
    let parts = parts(template, messages, rendering, text)?;
    let mut openings: HashMap<&str, String> = HashMap::new();
    let mut spans = Vec::new();
    for turn in trained(messages) {
        let part = parts.parts[turn].clone()?;
        let written = &text[part.clone()];
        // As a rule, what opens a turn depends on the turn before it alone.
        let before = messages[..turn].last().map_or("", |last| last.role.as_str());
        let known = openings.get(before).filter(|opening| written.starts_with(opening.as_str()));
        let length = match known {
            Some(opening) if !opening.is_empty() => opening.len(),
            _ => {
                let opening = opening(template, &messages[..turn], rendering)?;
                let length = match opening.is_empty() {
                    true => opening::unchanged(template, messages, rendering, turn, written).unwrap_or(0),
                    false => opened(written, &opening),
                };
                openings.insert(before, opening);
                length
            }
        };
        spans.push(part.start + length..part.end);
    }
    Some(spans)
}

/// Finds the turns by rendering the conversation up to a turn and with it. This is for templates whose
/// texts grow as their conversations do.
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
        let prompt = opening::prompt_start(template, &messages[..turn], open, &before);
        let opens = prompt.and_then(|at| Some(at + reasoning_tag(&before[at..])?));
        spans.push(opens.unwrap_or(before.len())..after.len());
    }
    Some(spans)
}

/// Finds the turns by what changes with what each turn says. This is for templates that do not iterate over
/// messages in a loop. A turn begins after what opens a turn. It ends with what the template writes after
/// its words if it is the last turn, as far as the text has that here too.
fn by_words(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Option<Vec<Range<usize>>> {
    let mut spans: Vec<Range<usize>> = Vec::new();
    for turn in trained(messages) {
        let own = vary::region(template, messages, rendering, text, turn)?;
        let opening = opening(template, &messages[..turn], rendering)?;
        let before = spans.last().map_or(0, |span| span.end);
        let opened =
            text.get(before..own.start)?.rfind(opening.as_str()).map(|at| before + at + opening.len());
        // Nothing except reasoning that is always written may be between the two.
        let is_near = |&at: &usize| {
            let between = &text[at..own.start];
            between.trim().is_empty() || reasoning_tag(between) == Some(0)
        };
        let start = match opening.is_empty() {
            true => own.start,
            false => opened.filter(is_near)?,
        };
        let end = match turn + 1 == messages.len() {
            true => text.len(),
            false => own.end + closing(template, &messages[..=turn], rendering, &text[own.end..])?,
        };
        spans.push(start..end);
    }
    Some(spans)
}

/// The length of what closes the last of `messages` at the beginning of `following`.
fn closing(
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    following: &str,
) -> Option<usize> {
    let text = template.render(messages, rendering).ok()?;
    let own = vary::region(template, messages, rendering, &text, messages.len() - 1)?;
    let closes = &text[own.end..];
    let length = common(closes, following);
    Some(if length < closes.len() { whole_tags(following, length) } else { length })
}

/// Where the completion starts in `text`, the text of a prompt and its answer: after `asked`, the text of
/// the prompt alone, or where the two begin to differ. `None` if they differ within the prompt's messages.
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
    let opens = opening::prompt_start(template, prompt, open, asked).or_else(|| {
        let closed = Rendering { add_generation_prompt: false, ..open };
        Some(common(asked, &template.render(prompt, closed).ok()?))
    });
    opens.filter(|&opens| opens > 0 && start >= opens)?;
    Some(start)
}

/// The spans without what was written for some turns. `None` if it is not known where that is.
pub fn without(spans: Vec<Range<usize>>, parts: &TurnParts, turns: &[usize]) -> Option<Vec<Range<usize>>> {
    let mut left = spans;
    for &turn in turns {
        left = less(left, &parts.parts.get(turn)?.clone()?);
    }
    Some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_lose_what_is_not_trained() {
        let parts = TurnParts { parts: vec![Some(2..4), None], tail: 9 };
        assert_eq!(without(vec![0..6, 8..9], &parts, &[0]), Some(vec![0..2, 4..6, 8..9]));
        let (gone, unknown) = (2..4, 0..1);
        assert_eq!(without(vec![gone], &parts, &[0]), Some(vec![]));
        assert_eq!(without(vec![unknown], &parts, &[1]), None);
    }
}
