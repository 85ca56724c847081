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
use super::row::Row;
use super::tokenizer::{Encoded, Tokenizer};
use crate::template::ChatTemplate;

/// Bounds on tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lengths {
    /// Prompt and one branch together; the branch loses its end.
    pub max_length: usize,
    /// The prompt; it loses its beginning.
    pub max_prompt_length: Option<usize>,
}

/// A row's tokens, and what was cut to get them within bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Tokenized {
    pub family: Family,
    pub cuts: Vec<Reason>,
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
) -> Result<Vec<Family>> {
    let tokenized: Vec<Result<Result<Tokenized, Reason>>> =
        rows.par_iter().map(|row| tokenize_row(row, template, tokenizer, lengths)).collect();
    let mut families = Vec::with_capacity(rows.len());
    let mut entries = Ledger::new();
    for (row, tokenized) in rows.iter().zip(tokenized) {
        match tokenized? {
            Ok(Tokenized { family, cuts }) => {
                cuts.into_iter().for_each(|cut| entries.add(&row.origin, cut));
                families.push(family);
            }
            Err(reason) => entries.add(&row.origin, reason),
        }
    }
    if let (true, Some(first)) = (families.is_empty(), entries.entries().first()) {
        let advice = match first.reason {
            Reason::PromptNotAPrefix => {
                "the template renders a prompt otherwise once an answer follows it; use another \
                 `template`"
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
    Ok(families)
}

/// One row's tokens, or why it cannot be used. Errors as [`tokenize`] does.
pub fn tokenize_row(
    row: &Row,
    template: &ChatTemplate,
    tokenizer: &Tokenizer,
    lengths: Lengths,
) -> Result<Result<Tokenized, Reason>> {
    let texts = match render_row(row, template)? {
        Ok(texts) => texts,
        Err(reason) => return Ok(Err(reason)),
    };
    let mut branches = Vec::with_capacity(texts.len());
    for text in &texts {
        let encoded = tokenizer.encode_with_offsets(&text.text)?;
        check(&encoded, text, tokenizer).with_context(|| row.origin.to_string())?;
        branches.push(branch(encoded, &text.trained));
    }
    Ok(fit(share_prompt(row.origin.row, branches), lengths))
}

/// All of a text's tokens, with those marked that reach into a trained part.
fn branch(encoded: Encoded, trained: &[Range<usize>]) -> Branch {
    let is_trained =
        |&(start, end): &(usize, usize)| trained.iter().any(|part| start < part.end && end > part.start);
    let trained = encoded.offsets.iter().map(is_trained).collect();
    Branch { tokens: encoded.ids, trained }
}

/// Moves the tokens that all branches begin with and none trains to the prompt.
fn share_prompt(row: usize, mut branches: Vec<Branch>) -> Family {
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
    Family { row, prompt, branches, ..Family::default() }
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
    if family.branches.iter().any(|branch| branch.tokens.len() > room) {
        cuts.push(Reason::CutToMaxLength);
    }
    for branch in &mut family.branches {
        branch.tokens.truncate(room);
        branch.trained.truncate(room);
        if !branch.trained.contains(&true) {
            return Err(Reason::PromptFillsMaxLength);
        }
    }
    Ok(Tokenized { family, cuts })
}

/// What would train a model wrongly without anyone noticing.
fn check(encoded: &Encoded, text: &RenderedText, tokenizer: &Tokenizer) -> Result<()> {
    if let (Some(bos), [first, second, ..]) = (tokenizer.bos_id(), encoded.ids.as_slice())
        && bos == *first
        && bos == *second
    {
        bail!(
            "the text begins with two `{}`: the template and a message both write it",
            tokenizer.token(bos).unwrap_or_default()
        );
    }
    if text.trained.iter().all(Range::is_empty) {
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
