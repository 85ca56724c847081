//! Every row that was cut, dropped or refused, with file, line and reason.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use indexmap::{IndexMap, IndexSet};
use serde::{Deserialize, Serialize};

use super::reason::{Effect, RowReason};
use super::row::RowOrigin;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    pub origin: RowOrigin,
    pub reason: RowReason,
}

/// An entry as a line of `ledger.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    file: String,
    line: usize,
    row: usize,
    effect: Effect,
    reason: &'a str,
}

impl LedgerEntry {
    /// The entry as one line of JSON, without the line's end.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string(&Line {
            file: self.origin.file.display().to_string(),
            line: self.origin.line,
            row: self.origin.row,
            effect: self.reason.effect(),
            reason: &self.reason.to_string(),
        })
    }
}

/// How many entries have one kind of reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReasonCount<'a> {
    pub kind: &'static str,
    pub effect: Effect,
    pub rows: usize,
    /// The origin of the first such entry.
    pub first: &'a RowOrigin,
}

/// The entries of one stage's data, in the order in which they were added.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ledger {
    entries: Vec<LedgerEntry>,
    /// Warnings that a person should read before training on the rows, each once.
    warnings: IndexSet<String>,
    /// Warnings about single rows, with the number of rows that each is about.
    counted: IndexMap<String, usize>,
    /// Template variables of the recipe that no row's template reads; `None` before any row.
    unread: Option<BTreeSet<String>>,
}

impl Ledger {
    pub fn new() -> Self {
        Ledger::default()
    }

    pub fn add(&mut self, origin: &RowOrigin, reason: RowReason) {
        self.entries.push(LedgerEntry { origin: origin.clone(), reason });
    }

    /// Adds a warning that a person should read before training on the rows. The same words are kept once.
    pub fn warn(&mut self, warning: impl Into<String>) {
        self.warnings.insert(warning.into());
    }

    /// Adds a warning about some rows. Rows with the same warning are counted together.
    pub fn warn_rows(&mut self, warning: impl Into<String>, rows: usize) {
        if rows > 0 {
            *self.counted.entry(warning.into()).or_insert(0) += rows;
        }
    }

    /// Adds the template variables of the recipe that the templates of some rows do not read. There is a
    /// warning about those that the templates of all rows do not read.
    pub fn unread_by_rows(&mut self, names: BTreeSet<String>) {
        self.unread = Some(match self.unread.take() {
            Some(before) => before.intersection(&names).cloned().collect(),
            None => names,
        });
    }

    /// Appends the entries and warnings of another.
    pub fn extend(&mut self, other: Ledger) {
        self.entries.extend(other.entries);
        self.warnings.extend(other.warnings);
        other.counted.into_iter().for_each(|(warning, rows)| self.warn_rows(warning, rows));
        other.unread.into_iter().for_each(|names| self.unread_by_rows(names));
    }

    /// The warnings, once each; those about single rows with the number of rows.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let rows = |count: usize| if count == 1 { "1 row".to_owned() } else { format!("{count} rows") };
        let counted = self.counted.iter().map(move |(warning, count)| format!("{}: {warning}", rows(*count)));
        let unread = self.unread.iter().filter(|names| !names.is_empty()).map(|names| {
            let names = names.iter().map(String::as_str).collect::<Vec<_>>().join("`, `");
            format!(
                "`chat_template_kwargs` of `[model]` that no template of these rows reads, but another of \
                 the model's: `{names}`"
            )
        });
        self.warnings.iter().cloned().chain(unread).chain(counted)
    }

    /// Lets entries about one file share its path, as those that were read together do.
    pub(super) fn share_paths(&mut self, files: &[Arc<PathBuf>]) {
        for entry in &mut self.entries {
            if let Some(file) = files.iter().find(|file| **file == entry.origin.file) {
                entry.origin.file = Arc::clone(file);
            }
        }
    }

    pub fn entries(&self) -> &[LedgerEntry] {
        &self.entries
    }

    /// The entries with this effect.
    pub fn with_effect(&self, effect: Effect) -> impl Iterator<Item = &LedgerEntry> {
        self.entries.iter().filter(move |entry| entry.reason.effect() == effect)
    }

    /// The number of rows by reason, in the order in which the reasons first came up.
    pub fn counts(&self) -> IndexMap<&'static str, usize> {
        let mut counts = IndexMap::new();
        for entry in &self.entries {
            *counts.entry(entry.reason.kind()).or_insert(0) += 1;
        }
        counts
    }

    /// Entries by kind of reason, the most frequent first.
    pub fn by_reason(&self) -> Vec<ReasonCount<'_>> {
        let mut counts: IndexMap<&'static str, ReasonCount<'_>> = IndexMap::new();
        for LedgerEntry { origin, reason } in &self.entries {
            let (kind, effect) = (reason.kind(), reason.effect());
            counts.entry(kind).or_insert(ReasonCount { kind, effect, rows: 0, first: origin }).rows += 1;
        }
        let mut counts: Vec<_> = counts.into_values().collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.rows));
        counts
    }

    /// Writes one JSON object per line.
    pub fn write_jsonl(&self, mut out: impl Write) -> io::Result<()> {
        for entry in &self.entries {
            writeln!(out, "{}", entry.to_json()?)?;
        }
        Ok(())
    }
}
