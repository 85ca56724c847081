//! Tools' results that a template writes while it is at an assistant's turn: what a tool returns is never
//! trained.
//!
//! A result's own words are what changes when it says something else. What the template puts around them is
//! found by adding a second result after it: between the words of the two are the end of the first and the
//! beginning of the second. What is written around several results is what disappears without them.

use std::ops::Range;

use super::kept::function;
use super::opening::whole_tags;
use super::ranges::less;
use super::reason::RowReason;
use super::vary::{self, changed, common, common_end};
use crate::template::{ChatTemplate, Message, Rendering};

/// The key under which an assistant's turn holds results in Gemma's own format.
const WITHIN: &str = "tool_responses";

/// The `spans` of `text` without the results in them. Gives a reason if the results cannot be separated
/// from what the assistant says.
pub fn cut_out(
    spans: Vec<Range<usize>>,
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> Result<Vec<Range<usize>>, RowReason> {
    let holds = |turn: &Message| turn.trained && turn.extra.get(WITHIN).is_some_and(|held| !held.is_null());
    if let Some(turn) = messages.iter().position(holds)
        && template.reads_key(WITHIN, rendering)
    {
        return Err(RowReason::ResultInTurn(format!("`{WITHIN}` of turn {}", turn + 1)));
    }
    let results: Vec<usize> = (0..messages.len()).filter(|&turn| is_result(&messages[turn])).collect();
    if results.is_empty() || stand_apart(&results, template, messages, rendering, text) {
        return Ok(spans);
    }
    let found = Results { template, messages, rendering, text };
    let mut left = spans;
    for run in results.chunk_by(|one, next| one + 1 == *next) {
        let last = run[run.len() - 1];
        let told =
            || RowReason::ResultInTurn(format!("the text of turn {} ({})", last + 1, messages[last].role));
        let own: Vec<Range<usize>> =
            run.iter().map(|&turn| found.own(turn)).collect::<Option<_>>().ok_or_else(told)?;
        let within =
            |own: &Range<usize>| left.iter().any(|span| own.start < span.end && own.end > span.start);
        if own.iter().any(within) {
            left = less(left, &found.block(run, &own).ok_or_else(told)?);
        }
    }
    Ok(left)
}

/// Whether a turn is a tool's result.
fn is_result(message: &Message) -> bool {
    !matches!(message.role.as_str(), "system" | "developer" | "user" | "assistant")
}

/// Whether each result is in what the template writes for its own turn, and nowhere else.
fn stand_apart(
    results: &[usize],
    template: &ChatTemplate,
    messages: &[Message],
    rendering: Rendering,
    text: &str,
) -> bool {
    let words: Vec<String> = (0..)
        .map(|n: usize| format!("Zq{n}Kx"))
        .filter(|word| !text.contains(word.as_str()))
        .take(results.len())
        .collect();
    let mut others = messages.to_vec();
    for (&turn, word) in results.iter().zip(&words) {
        others = vary::with_words(&others, turn, word);
    }
    let Ok(other) = template.render(&others, rendering) else { return false };
    let Some(parts) = template.turn_parts(&others, rendering, &other) else { return false };
    results.iter().zip(&words).all(|(&turn, word)| {
        let own = parts.parts[turn].clone().is_some_and(|part| other[part].contains(word.as_str()));
        own && other.matches(word.as_str()).count() == 1
    })
}

struct Results<'a> {
    template: &'a ChatTemplate,
    messages: &'a [Message],
    rendering: Rendering<'a>,
    text: &'a str,
}

impl Results<'_> {
    /// Where a result's own words are.
    fn own(&self, turn: usize) -> Option<Range<usize>> {
        vary::region(self.template, self.messages, self.rendering, self.text, turn)
    }

    /// The part of the text that is written for consecutive results, whose own words are `own`.
    fn block(&self, run: &[usize], own: &[Range<usize>]) -> Option<Range<usize>> {
        let (first, last) = (own.first()?, own.last()?);
        let after = &self.text[last.end..];
        let between = self.between(*run.last()?, last)?;
        let mut closes = common(&between, after);
        if closes < between.len() {
            closes = whole_tags(after, closes);
        }
        let closing = &between[..closes];
        let before_next = self.between(run[0], first)?;
        let opening = &before_next[common(&before_next, closing)..];
        let opens = common_end(&self.text[..first.start], opening);
        // If only a part of a tag is the same, the tag belongs to something else.
        let opens = match opens < opening.len() {
            true => {
                let half = &opening[opening.len() - opens..];
                half.find(['<', '[']).map_or(0, |at| half.len() - at)
            }
            false => opens,
        };
        let block = first.start - opens..last.end + closes;
        Some(self.widened(block.clone(), run).unwrap_or(block))
    }

    /// The text between the words of a result and those of a second result that follows it.
    fn between(&self, turn: usize, own: &Range<usize>) -> Option<String> {
        let mut more = self.messages.to_vec();
        more.insert(turn + 1, more[turn].clone());
        let word = vary::WORDS.into_iter().find(|word| !self.text.contains(word))?;
        let more = vary::with_words(&more, turn + 1, word);
        let text = self.template.render(&more, self.rendering).ok()?;
        let rest = text.strip_prefix(&self.text[..own.end])?;
        rest.find(word).map(|at| rest[..at].to_owned())
    }

    /// The block, extended by everything that is missing when the conversation is rendered without the
    /// results.
    fn widened(&self, block: Range<usize>, run: &[usize]) -> Option<Range<usize>> {
        let mut fewer = self.messages.to_vec();
        fewer.drain(run[0]..=*run.last()?);
        let without = self.template.render(&fewer, self.rendering).ok()?;
        let gone = changed(self.text, &without)?;
        let kept = self.text.len() - gone.end;
        if gone.start + kept == without.len() {
            // Text that is the same at both ends may belong to either of them.
            let start =
                if block.start < gone.start { block.start } else { whole_tags(self.text, gone.start) };
            let over = gone.start - start;
            let end = gone.end - over;
            let is_same = self.text.get(start..gone.start)? == self.text.get(end..gone.end)?;
            return is_same.then(|| block.start.min(start)..block.end.max(end));
        }
        let start = whole_tags(self.text, gone.start);
        let half = whole_tags(self.text, gone.end) < gone.end;
        let rest = if half { self.text[gone.end..].find(['>', ']']).map_or(0, |at| at + 1) } else { 0 };
        let end = gone.end + rest;
        // What the assistant says, or ends its turn with, is there with or without results in between.
        let instead = without.get(start..without.len() - (kept - rest))?;
        let calls = self.messages[..run[0]].last().map_or(&[][..], Message::calls);
        let names =
            calls.iter().map(|call| function(call, 0).0).filter_map(|call| call.get("name")?.as_str());
        let own: Vec<&str> = names.chain([instead.trim()]).filter(|own| !own.is_empty()).collect();
        let is_own = |around: &str| own.iter().any(|own| around.contains(own));
        let around = [self.text.get(start..block.start), self.text.get(block.end..end)];
        (!around.into_iter().flatten().any(is_own)).then(|| block.start.min(start)..block.end.max(end))
    }
}
