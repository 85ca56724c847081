//! What tokenising some rows of a data set came to, row by row: entries of the ledger, warnings, and the error
//! if no row is left.

use std::collections::BTreeSet;

use anyhow::{Result, bail};

use super::ledger::Ledger;
use super::reason::RowReason;
use super::row::RowOrigin;
use super::unread::{self, Given};
use crate::template::ChatTemplate;

/// Takes rows in order.
pub struct Accounts<'a> {
    entries: Ledger,
    rows: usize,
    kept: usize,
    /// Whether all rows only ask.
    are_prompts: bool,
    given: BTreeSet<&'a Given>,
}

impl<'a> Accounts<'a> {
    pub fn new() -> Self {
        Self { entries: Ledger::new(), rows: 0, kept: 0, are_prompts: true, given: BTreeSet::new() }
    }

    /// One more row: whether it only asks, and what it gives to the template.
    pub fn row(&mut self, is_prompt: bool, given: Option<&'a Given>) {
        self.rows += 1;
        self.are_prompts &= is_prompt;
        self.given.extend(given);
    }

    /// The row is kept, with these cuts and notes.
    pub fn keep(
        &mut self,
        origin: &RowOrigin,
        cuts: impl Iterator<Item = RowReason>,
        notes: impl Iterator<Item = String>,
    ) {
        self.kept += 1;
        cuts.for_each(|cut| self.entries.add(origin, cut));
        notes.for_each(|note| self.entries.warn_rows(note, 1));
    }

    pub fn drop_row(&mut self, origin: &RowOrigin, reason: RowReason) {
        self.entries.add(origin, reason);
    }

    /// Adds it all to `ledger`. Errors if there were rows and none is kept.
    pub fn finish(mut self, template: &ChatTemplate, ledger: &mut Ledger) -> Result<()> {
        if let (0, Some(first)) = (self.kept, self.entries.entries().first()) {
            if let RowReason::TemplateFails(_) = first.reason {
                bail!("{}: {}", first.origin, first.reason);
            }
            let advice = advice(&first.reason, self.are_prompts);
            bail!(
                "none of {} rows can be trained on; the first, {}: {}; {advice}",
                self.rows,
                first.origin,
                first.reason
            );
        }
        unread::warn(&self.given, self.rows > 0, template, &mut self.entries);
        ledger.extend(self.entries);
        Ok(())
    }
}

/// Advice about rows that are all dropped, the first of them for `reason`.
fn advice(reason: &RowReason, are_prompts: bool) -> &'static str {
    match reason {
        RowReason::PromptNotAPrefix => {
            "the template renders a prompt otherwise once an answer follows it; use another `template`"
        }
        RowReason::ContentLost(_) | RowReason::ReasoningUnread(_) => {
            "use a `template` that reads it, or take it out of the rows"
        }
        RowReason::EqualOnceRendered => {
            "there is nothing to prefer; use a `template` that keeps what tells the answers apart"
        }
        RowReason::NothingTrained => "mark a turn as trained",
        RowReason::NothingLeft | RowReason::NoEnd(_) => {
            "use a template that does, see `template` in `[model]`"
        }
        RowReason::ResultInTurn(_) => "use a `template` that writes a tool's result for the tool's turn",
        RowReason::TurnNotFound => "use a `template` that goes over `messages` in a loop",
        RowReason::ReservedKwarg(_) => "take it out of the rows",
        _ if are_prompts => "raise `max_length`, or lower `response_length`, for which it must leave room",
        _ => "raise `max_length`",
    }
}
