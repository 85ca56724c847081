//! Whether what is trained teaches the model to stop.

use std::ops::Range;

use anyhow::{Result, bail};

use super::opening::whole_tags;
use super::reason::RowReason;
use super::render_row::RenderedText;
use super::row::{Row, RowTurns};
use super::tokenizer::{Encoded, Tokenizer};
use super::vary::{self, common};
use crate::template::{ChatTemplate, Message, Rendering};

/// What the template writes at the beginning of the turns after the assistant's in order to close the
/// assistant's turn: some templates end a turn only when the next one begins. It is what such a turn has
/// before the text that opens the first turn of its role.
fn closings(template: &ChatTemplate, messages: &[Message], row: &Row, text: &str) -> Vec<Range<usize>> {
    let kwargs = row.chat_template_kwargs.as_ref();
    let rendering = Rendering { tools: row.tools.as_ref(), add_generation_prompt: false, kwargs };
    // If a template marks what is generated, only that is trained.
    if template.marks_generation(rendering) {
        return Vec::new();
    }
    let Some(parts) = template.turn_parts(messages, rendering, text) else { return Vec::new() };
    let closing = |turn: usize| {
        let (role, part) = (messages.get(turn + 1)?.role.as_str(), parts.parts[turn + 1].clone()?);
        let first = (0..=turn).find(|&at| messages[at].role == role)?;
        let begun = parts.parts[first].clone()?;
        if whole_tags(&text[part.clone()], common(&text[part.clone()], &text[begun.clone()])) > 0 {
            return None;
        }
        let own = |turn| vary::region(template, messages, rendering, text, turn);
        let opens = text.get(begun.start..own(first)?.start)?;
        let closes = text.get(part.start..own(turn + 1)?.start)?.strip_suffix(opens)?;
        (!opens.is_empty() && !closes.is_empty()).then(|| part.start..part.start + closes.len())
    };
    let is_trained = |&turn: &usize| messages[turn].role == "assistant" && messages[turn].trained;
    (0..messages.len()).filter(is_trained).filter_map(closing).collect()
}

/// Whether a turn that is trained is followed by a question.
fn asks_again(messages: &[Message]) -> bool {
    messages
        .windows(2)
        .any(|turns| turns[0].role == "assistant" && turns[0].trained && turns[1].role == "user")
}

/// Checks for what would train a model wrongly without anyone noticing. Trained parts without an end are
/// extended by what closes them. A reason says why the row cannot be used; an error says that no row can be
/// used.
pub fn check(
    encoded: &Encoded,
    text: &mut RenderedText,
    row: &Row,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<Result<(), RowReason>> {
    if let (Some(bos), [first, second, ..]) = (tokenizer.bos_id(), encoded.ids.as_slice())
        && bos == *first
        && bos == *second
    {
        bail!(
            "the text begins with two `{}`: the template and a message both write it",
            tokenizer.token(bos).unwrap_or_default()
        );
    }
    if let Some((name, token)) = tokenizer.missing_in(&text.text) {
        bail!(
            "the text has `{token}`, the tokenizer's `{name}`, which `tokenizer.json` does not have: it \
             would be cut into pieces"
        );
    }
    text.trained.retain(|part| !part.is_empty());
    if row.is_answered() && text.trained.is_empty() {
        return Ok(Err(RowReason::NothingLeft));
    }
    Ok(extend(encoded, text, row, template, tokenizer))
}

/// Extends parts without an end by what closes them. Gives a reason if nothing closes one of them. The last
/// part may lack an end if other answers are trained with theirs, since some templates end a turn only when
/// the next one begins.
fn extend(
    encoded: &Encoded,
    text: &mut RenderedText,
    row: &Row,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
) -> Result<(), RowReason> {
    // Where the last token of a part that may end a turn stops.
    let last_end = |part: &Range<usize>| {
        let covers = |(start, end): &(usize, usize)| *start < part.end && *end > part.start;
        let tokens = encoded.ids.iter().zip(&encoded.offsets).filter(|(_, at)| covers(at));
        let ends = tokens.filter(|(id, _)| tokenizer.is_special(**id) || tokenizer.eos_id() == Some(**id));
        ends.last().map(|(_, at)| at.1.min(part.end))
    };
    let has_end = |part: &Range<usize>| last_end(part).is_some();
    let messages: &[Message] = match &row.turns {
        RowTurns::Conversation(messages) => messages,
        _ => &[],
    };
    let mut known: Option<Vec<Range<usize>>> = None;
    let mut begin = 0;
    for last in 0..text.trained.len() {
        let end = text.trained[last].end;
        // The assistant goes on speaking, so both are one turn.
        if text.trained.get(last + 1).is_some_and(|next| next.start == end) {
            continue;
        }
        let whole = text.trained[begin].start..end;
        begin = last + 1;
        // Words may follow a special token that does not end a turn, such as `</think>`.
        let after = last_end(&whole).and_then(|last| text.text.get(last..end));
        if after.is_some_and(|after| after.trim().is_empty()) {
            continue;
        }
        let closings = known.get_or_insert_with(|| closings(template, messages, row, &text.text));
        let closing = closings.iter().find(|closing| closing.start == end);
        if let Some(closing) = closing.filter(|closing| has_end(closing)) {
            text.trained[last].end = closing.end;
        } else if !(has_end(&whole) || asks_again(messages) && end == text.text.len()) {
            return Err(RowReason::NoEnd(lacks_end(&text.text[..end], tokenizer)));
        }
    }
    Ok(())
}

/// Describes a text without an end.
fn lacks_end(trained: &str, tokenizer: &Tokenizer) -> String {
    let end: String = trained.chars().rev().take(24).collect();
    let end: String = end.chars().rev().collect();
    let remedy = match tokenizer.special_tokens().get("eos_token") {
        Some(eos) => format!("the template must write `{eos}` there"),
        None => "the template must write a special token of the tokenizer there, and \
                 `tokenizer_config.json` name it as `eos_token`"
            .to_owned(),
    };
    format!("the trained text ends with {end:?}; {remedy}")
}
