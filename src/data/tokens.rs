//! From rows to examples of token ids.
//!
//! The whole text of a completion, prompt included, is tokenised once and split by offsets: a token is
//! trained if it overlaps a trained part. An example's prompt is what all its completions begin with and
//! none of them trains. If the tokens of the prompt alone are not those that a completion's text begins
//! with (a token extends over the end of the prompt, or the template opens a turn differently from how it
//! writes one), all completions begin where the first of them differs, and everything from there on is
//! trained, as in TRL.

use std::ops::Range;

use anyhow::{Context, Result};
use rayon::prelude::*;

use super::accounts::Accounts;
use super::ends;
use super::example::{Completion, Example};
use super::ledger::Ledger;
use super::long_text;
use super::reason::RowReason;
use super::render_row::{RenderedText, render_row};
use super::row::{Row, RowTurns};
use super::text_row;
use super::tokenizer::{Encoded, Tokenizer};
use super::unread::{self, Given};
use crate::template::ChatTemplate;

/// Limits on the number of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// The limit for the prompt and one completion together.
    pub max_length: usize,
    /// What happens to a row with a longer completion.
    pub longer: Longer,
    /// The limit for the prompt. A longer one loses its beginning.
    pub max_prompt_length: Option<usize>,
}

/// What happens to a row with more tokens than `max_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Longer {
    /// Its answers lose their ends.
    Cut,
    /// The row is dropped.
    Drop,
}

/// A row's tokens, and what was cut to keep them within the limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenized {
    pub example: Example,
    pub cuts: Vec<RowReason>,
    /// The answer of an unpaired row as it was before it was cut to `max_length`, if it was cut.
    pub uncut: Option<Completion>,
    pub notes: RowNotes,
}

/// What a person should know of a row that is kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RowNotes {
    /// The end of the prompt's text, where the template opens a turn, that the row's texts lack.
    pub left_of_prompt: Option<String>,
    /// Whether the template leaves out reasoning of turns before the last question.
    pub lacks_reasoning: bool,
}

impl RowNotes {
    /// Each note in words.
    pub fn told(&self) -> impl Iterator<Item = String> {
        let left = self.left_of_prompt.as_ref().map(|left| {
            format!(
                "a prompt alone ends with {left:?}, which the template or the tokenizer puts otherwise \
                 before an answer: the completion starts where both part"
            )
        });
        let reasoning = "the template leaves out reasoning of turns before the last question";
        left.into_iter().chain(self.lacks_reasoning.then(|| reasoning.to_owned()))
    }
}

/// Renders and tokenises rows and keeps their order. Rows that are cut or dropped go to `ledger`. Errors,
/// with the row, if a text begins with two BOS tokens or has a special token that the tokenizer does not
/// know; and if no row is left.
pub fn tokenize(
    rows: &[Row],
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    lengths: Lengths,
    ledger: &mut Ledger,
) -> Result<Vec<Tokenized>> {
    let tokenized: Vec<Result<Result<Tokenized, RowReason>>> =
        rows.par_iter().map(|row| tokenize_row(row, template, tokenizer, lengths)).collect();
    let given: Vec<Option<Given>> = rows.iter().map(|row| unread::given(row, template)).collect();
    let mut kept = Vec::with_capacity(rows.len());
    let mut accounts = Accounts::new();
    for ((row, given), tokenized) in rows.iter().zip(&given).zip(tokenized) {
        accounts.row(row.is_prompt(), given.as_ref());
        match tokenized? {
            Ok(tokenized) => {
                accounts.keep(&row.origin, tokenized.cuts.iter().cloned(), tokenized.notes.told());
                kept.push(tokenized);
            }
            Err(reason) => accounts.drop_row(&row.origin, reason),
        }
    }
    accounts.finish(template, ledger)?;
    Ok(kept)
}

/// One row's tokens, or why it cannot be used. Errors as [`tokenize`] does.
pub fn tokenize_row(
    row: &Row,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    lengths: Lengths,
) -> Result<Result<Tokenized, RowReason>> {
    if let RowTurns::Text(text) = &row.turns {
        return Ok(fit(text_row::example(text, row, tokenizer)?, lengths));
    }
    let rendered = match render_row(row, template) {
        Ok(rendered) => rendered,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut notes = RowNotes { lacks_reasoning: rendered.lacks_reasoning, left_of_prompt: None };
    let mut encoded = Vec::with_capacity(rendered.texts.len());
    for text in &rendered.texts {
        encoded.push(long_text::encode(tokenizer, &text.text)?);
    }
    let start = match &rendered.asked {
        Some(asked) => {
            let (start, left) = completion_start(&rendered.texts, &encoded, asked, tokenizer)?;
            notes.left_of_prompt = left;
            Some(start)
        }
        None => None,
    };
    let mut completions = Vec::with_capacity(encoded.len());
    for (encoded, mut text) in encoded.into_iter().zip(rendered.texts) {
        // A completion whose first turn is not to be trained has no earlier tokens either.
        if let (Some(start), Some(first)) = (start, text.trained.first_mut())
            && text.completion == Some(first.start)
        {
            let from = encoded.offsets.get(start).map_or(first.start, |offsets| offsets.0);
            first.start = first.start.min(from);
        }
        let checked = ends::check(&encoded, &mut text, row, template, tokenizer);
        if let Err(reason) = checked.with_context(|| row.origin.to_string())? {
            return Ok(Err(reason));
        }
        completions.push(completion(encoded, &text.trained));
    }
    let (prompt, completions) = share_prompt(completions);
    // If a row only asks, all its tokens are prompt.
    let completions = if row.is_answered() { completions } else { Vec::new() };
    let example = Example { row: row.origin.row, prompt, completions, label: row.label, margin: row.margin };
    Ok(fit(example, lengths).map(|tokenized| Tokenized { notes, ..tokenized }))
}

/// The number of tokens that come before the completions of a row: those of the prompt's text with which
/// all texts begin. Also the end of the prompt's text that the texts do not have, if there is any.
fn completion_start(
    texts: &[RenderedText],
    encoded: &[Encoded],
    asked: &str,
    tokenizer: &Tokenizer,
) -> Result<(usize, Option<String>)> {
    let end = asked.len();
    let is_whole = |(text, encoded): (&RenderedText, &Encoded)| {
        text.text.starts_with(asked)
            && !encoded.offsets.iter().any(|&(start, stop)| start < end && end < stop)
    };
    if texts.iter().zip(encoded).all(is_whole) {
        let before = |encoded: &Encoded| encoded.offsets.iter().take_while(|(start, _)| *start < end).count();
        return Ok((encoded.iter().map(before).min().unwrap_or(0), None));
    }
    let prompt = long_text::encode(tokenizer, asked)?;
    let common = |encoded: &Encoded| {
        prompt.ids.iter().zip(&encoded.ids).take_while(|(ours, theirs)| ours == theirs).count()
    };
    let start = encoded.iter().map(common).min().unwrap_or(0);
    let left = prompt.offsets.get(start).map(|offsets| asked[offsets.0..].to_owned());
    Ok((start, left))
}

/// All of a text's tokens. Those that overlap a trained part are marked as trained.
fn completion(encoded: Encoded, trained: &[Range<usize>]) -> Completion {
    let is_trained =
        |&(start, end): &(usize, usize)| trained.iter().any(|part| start < part.end && end > part.start);
    let trained = encoded.offsets.iter().map(is_trained).collect();
    Completion { tokens: encoded.ids, trained }
}

/// Moves the tokens that all completions begin with, and that none of them trains, to the prompt.
fn share_prompt(mut completions: Vec<Completion>) -> (Vec<u32>, Vec<Completion>) {
    let untrained =
        |completion: &Completion| completion.trained.iter().take_while(|trained| !**trained).count();
    let limit = completions.iter().map(untrained).min().unwrap_or(0);
    let first = completions.first().map_or(&[][..], |completion| &completion.tokens[..limit]);
    let common = |completion: &Completion| {
        first.iter().zip(&completion.tokens).take_while(|(ours, theirs)| ours == theirs).count()
    };
    let length = completions.iter().map(common).min().unwrap_or(0);
    let prompt = first[..length].to_vec();
    for completion in &mut completions {
        completion.tokens.drain(..length);
        completion.trained.drain(..length);
    }
    (prompt, completions)
}

/// Cuts an example to its limits.
fn fit(mut example: Example, lengths: Lengths) -> Result<Tokenized, RowReason> {
    let mut cuts = Vec::new();
    let bound = lengths.max_prompt_length.unwrap_or(usize::MAX);
    if example.prompt.len() > bound {
        example.prompt.drain(..example.prompt.len() - bound);
        cuts.push(RowReason::CutToMaxPromptLength);
    }
    let room = lengths.max_length.saturating_sub(example.prompt.len());
    if room == 0 {
        return Err(RowReason::PromptFillsMaxLength);
    }
    let mut uncut = None;
    if example.completions.iter().any(|completion| completion.tokens.len() > room) {
        if lengths.longer == Longer::Drop {
            return Err(RowReason::LongerThanMaxLength);
        }
        cuts.push(RowReason::CutToMaxLength);
        uncut = example.label.and_then(|_| example.completions.first().cloned());
    }
    for completion in &mut example.completions {
        completion.truncate(room);
        if !completion.trained.contains(&true) {
            return Err(RowReason::PromptFillsMaxLength);
        }
    }
    // The answers of unpaired rows are not compared with each other.
    if let (None, [chosen, rejected]) = (example.label, example.completions.as_slice())
        && up_to_last_trained(chosen) == up_to_last_trained(rejected)
    {
        let cut = cuts.contains(&RowReason::CutToMaxLength);
        return Err(if cut { RowReason::EqualOnceCut } else { RowReason::EqualOnceRendered });
    }
    Ok(Tokenized { example, cuts, uncut, notes: RowNotes::default() })
}

/// The part of a completion that the probabilities of its trained tokens depend on, and which of its tokens
/// are trained.
fn up_to_last_trained(completion: &Completion) -> (&[u32], &[bool]) {
    let end = completion.trained.iter().rposition(|trained| *trained).map_or(0, |last| last + 1);
    (&completion.tokens[..end], &completion.trained[..end])
}
