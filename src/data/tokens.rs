//! From rows to families of token ids.
//!
//! The whole text of a branch is tokenised once and cut by offsets: a token is trained if it reaches
//! into a trained part. A family's prompt is what all its branches begin with and none trains, so
//! where a token straddles the end of the prompt's text the branches begin where their tokens part.

use std::ops::Range;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;

use super::example::{Branch, Family};
use super::ledger::Ledger;
use super::reason::Reason;
use super::render_row::{RenderedText, render_row};
use super::row::{Row, Turns};
use super::text_row;
use super::tokenizer::{Encoded, Tokenizer};
use crate::template::ChatTemplate;

/// Bounds on tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Prompt and one branch together.
    pub max_length: usize,
    /// What happens to a row with a longer branch.
    pub longer: Longer,
    /// The prompt; it loses its beginning.
    pub max_prompt_length: Option<usize>,
}

/// What happens to a row with more tokens than `max_length`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Longer {
    /// Its answers lose their ends.
    Cut,
    /// It is dropped.
    Drop,
}

/// A row's tokens, and what was cut to get them within bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenized {
    pub family: Family,
    pub cuts: Vec<Reason>,
    /// An unpaired row's answer before it was cut to `max_length`, if it was.
    pub uncut: Option<Branch>,
}

/// Renders and tokenises rows, order kept; rows cut or dropped go to `ledger`.
/// Errors, with the row, if the template fails, if a text begins with two BOS tokens, if nothing of a
/// row is trained, or if no end-of-turn token is trained after an answer; and if no row is left.
pub fn tokenize(
    rows: &[Row],
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    lengths: Lengths,
    ledger: &mut Ledger,
) -> Result<Vec<Tokenized>> {
    let tokenized: Vec<Result<Result<Tokenized, Reason>>> =
        rows.par_iter().map(|row| tokenize_row(row, template, tokenizer, lengths)).collect();
    let mut kept = Vec::with_capacity(rows.len());
    let mut entries = Ledger::new();
    for (row, tokenized) in rows.iter().zip(tokenized) {
        match tokenized? {
            Ok(tokenized) => {
                tokenized.cuts.iter().for_each(|cut| entries.add(&row.origin, cut.clone()));
                kept.push(tokenized);
            }
            Err(reason) => entries.add(&row.origin, reason),
        }
    }
    if let (true, Some(first)) = (kept.is_empty(), entries.entries().first()) {
        let advice = match first.reason {
            Reason::PromptNotAPrefix => {
                "the template renders a prompt otherwise once an answer follows it; use another \
                 `template`"
            }
            Reason::EqualOnceRendered => {
                "there is nothing to prefer; use a `template` that keeps what tells the answers apart"
            }
            _ if rows.iter().all(Row::is_prompt) => {
                "raise `max_length`, or lower `response_length`, for which it must leave room"
            }
            _ => "raise `max_length`",
        };
        bail!(
            "none of {} rows can be trained on; the first, {}: {}; {advice}",
            rows.len(),
            first.origin,
            first.reason
        );
    }
    ledger.extend(entries);
    Ok(kept)
}

/// One row's tokens, or why it cannot be used. Errors as [`tokenize`] does.
pub fn tokenize_row(
    row: &Row,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    lengths: Lengths,
) -> Result<Result<Tokenized, Reason>> {
    if let Turns::Text(text) = &row.turns {
        return Ok(fit(text_row::family(text, row, tokenizer)?, lengths));
    }
    let texts = match render_row(row, template)? {
        Ok(texts) => texts,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut branches = Vec::with_capacity(texts.len());
    for text in &texts {
        let encoded = tokenizer.encode_with_offsets(&text.text)?;
        check(&encoded, text, row, tokenizer).with_context(|| row.origin.to_string())?;
        branches.push(branch(encoded, &text.trained));
    }
    let (prompt, branches) = share_prompt(branches);
    // Of a row that only asks all tokens are prompt.
    let branches = if row.is_answered() { branches } else { Vec::new() };
    let family = Family { row: row.origin.row, prompt, branches, label: row.label, margin: row.margin };
    Ok(fit(family, lengths))
}

/// All of a text's tokens, with those marked that reach into a trained part.
fn branch(encoded: Encoded, trained: &[Range<usize>]) -> Branch {
    let is_trained =
        |&(start, end): &(usize, usize)| trained.iter().any(|part| start < part.end && end > part.start);
    let trained = encoded.offsets.iter().map(is_trained).collect();
    Branch { tokens: encoded.ids, trained }
}

/// Moves the tokens that all branches begin with and none trains to the prompt.
fn share_prompt(mut branches: Vec<Branch>) -> (Vec<u32>, Vec<Branch>) {
    let untrained = |branch: &Branch| branch.trained.iter().take_while(|trained| !**trained).count();
    let limit = branches.iter().map(untrained).min().unwrap_or(0);
    let first = branches.first().map_or(&[][..], |branch| &branch.tokens[..limit]);
    let common = |branch: &Branch| {
        first.iter().zip(&branch.tokens).take_while(|(ours, theirs)| ours == theirs).count()
    };
    let length = branches.iter().map(common).min().unwrap_or(0);
    let prompt = first[..length].to_vec();
    for branch in &mut branches {
        branch.tokens.drain(..length);
        branch.trained.drain(..length);
    }
    (prompt, branches)
}

/// Cuts a family to its bounds.
fn fit(mut family: Family, lengths: Lengths) -> Result<Tokenized, Reason> {
    let mut cuts = Vec::new();
    let bound = lengths.max_prompt_length.unwrap_or(usize::MAX);
    if family.prompt.len() > bound {
        family.prompt.drain(..family.prompt.len() - bound);
        cuts.push(Reason::CutToMaxPromptLength);
    }
    let room = lengths.max_length.saturating_sub(family.prompt.len());
    if room == 0 {
        return Err(Reason::PromptFillsMaxLength);
    }
    let mut uncut = None;
    if family.branches.iter().any(|branch| branch.tokens.len() > room) {
        if lengths.longer == Longer::Drop {
            return Err(Reason::LongerThanMaxLength);
        }
        cuts.push(Reason::CutToMaxLength);
        uncut = family.label.and_then(|_| family.branches.first().cloned());
    }
    for branch in &mut family.branches {
        branch.truncate(room);
        if !branch.trained.contains(&true) {
            return Err(Reason::PromptFillsMaxLength);
        }
    }
    // Of unpaired rows no answer is compared with another.
    if let (None, [chosen, rejected]) = (family.label, family.branches.as_slice())
        && up_to_last_trained(chosen) == up_to_last_trained(rejected)
    {
        let cut = cuts.contains(&Reason::CutToMaxLength);
        return Err(if cut { Reason::EqualOnceCut } else { Reason::EqualOnceRendered });
    }
    Ok(Tokenized { family, cuts, uncut })
}

/// All of a branch that its trained tokens' probabilities depend on, and which are trained.
fn up_to_last_trained(branch: &Branch) -> (&[u32], &[bool]) {
    let end = branch.trained.iter().rposition(|trained| *trained).map_or(0, |last| last + 1);
    (&branch.tokens[..end], &branch.trained[..end])
}

/// What would train a model wrongly without anyone noticing.
fn check(encoded: &Encoded, text: &RenderedText, row: &Row, tokenizer: &Tokenizer) -> Result<()> {
    if let (Some(bos), [first, second, ..]) = (tokenizer.bos_id(), encoded.ids.as_slice())
        && bos == *first
        && bos == *second
    {
        bail!(
            "the text begins with two `{}`: the template and a message both write it",
            tokenizer.token(bos).unwrap_or_default()
        );
    }
    if row.is_answered() && text.trained.iter().all(Range::is_empty) {
        bail!("the template leaves no token to train on in this row");
    }
    let ends_turn = |id: u32| tokenizer.is_special(id) || tokenizer.eos_id() == Some(id);
    for part in text.trained.iter().filter(|part| !part.is_empty()) {
        let covers = |(start, end): &(usize, usize)| *start < part.end && *end > part.start;
        let mut trained = encoded.ids.iter().zip(&encoded.offsets).filter(|(_, at)| covers(at));
        if tokenizer.eos_id().is_some() && !trained.any(|(id, _)| ends_turn(*id)) {
            let end: String = text.text[..part.end].chars().rev().take(24).collect();
            let end: String = end.chars().rev().collect();
            bail!(
                "no end-of-turn token is trained after an answer, so the model would not learn to \
                 stop: the trained text ends with {end:?}; the template must write `{}` there",
                tokenizer.special_tokens().get("eos_token").unwrap_or_default()
            );
        }
    }
    Ok(())
}
