//! Whether the rows have the columns that a recipe names.

use std::collections::HashSet;

use anyhow::{Result, bail};
use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value};

use super::format::FileNotes;

/// The largest number of keys that an error names.
const NAMED: usize = 20;

/// What a recipe says of columns.
pub struct Columns<'a> {
    /// Our names and those of the file.
    columns: &'a IndexMap<String, String>,
    /// Those of our names that the files may have for other columns, which are not read then.
    replacing: Vec<(&'a str, &'a str)>,
}

impl<'a> Columns<'a> {
    pub fn new(columns: &'a IndexMap<String, String>) -> Self {
        let read: HashSet<&str> =
            columns.values().map(|theirs| theirs.split('.').next().unwrap_or_default()).collect();
        let replaces = |(ours, theirs): &(&str, &str)| ours != theirs && !read.contains(ours);
        let names = columns.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str()));
        Self { columns, replacing: names.filter(replaces).collect() }
    }
}

/// Checks the columns of a data set row by row.
pub struct ColumnCheck<'a> {
    columns: &'a Columns<'a>,
    /// The columns that no row had yet: our names and those of the file.
    absent: IndexMap<&'a str, &'a str>,
    /// The keys that rows have.
    keys: IndexSet<String>,
}

impl<'a> ColumnCheck<'a> {
    pub fn new(columns: &'a Columns<'a>) -> Self {
        let absent = columns.columns.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str())).collect();
        Self { columns, absent, keys: IndexSet::new() }
    }

    /// Looks at a row as it is in its file. Notes a column that is not read because another column is
    /// mapped to its name.
    pub fn look(&mut self, row: &Map<String, Value>, notes: &mut FileNotes) {
        self.absent.retain(|_, theirs| !has(row, theirs));
        if !self.absent.is_empty() {
            self.add_keys(row.keys().map(String::as_str));
        }
        for &(ours, theirs) in &self.columns.replacing {
            let is_replaced = row.get(ours).is_some_and(|value| !value.is_null());
            if is_replaced && has(row, theirs) {
                notes.unread(format!("/{ours}"));
            }
        }
    }

    /// Adds what another found in the rows that follow.
    pub fn extend(&mut self, other: ColumnCheck<'_>) {
        self.absent.retain(|ours, _| other.absent.contains_key(ours));
        if !self.absent.is_empty() {
            self.add_keys(other.keys.iter().map(String::as_str));
        }
    }

    fn add_keys<'k>(&mut self, keys: impl Iterator<Item = &'k str>) {
        for key in keys {
            if self.keys.len() >= NAMED {
                return;
            }
            if !self.keys.contains(key) {
                self.keys.insert(key.to_owned());
            }
        }
    }

    /// Errors if no row had one of the columns.
    pub fn check(&self) -> Result<()> {
        if self.keys.is_empty() || self.absent.is_empty() {
            return Ok(());
        }
        let absent: Vec<String> =
            self.absent.iter().map(|(ours, theirs)| format!("{ours} = \"{theirs}\"")).collect();
        let keys: Vec<&str> = self.keys.iter().map(String::as_str).collect();
        bail!(
            "`columns = {{ {} }}` names what no row has; rows have `{}`",
            absent.join(", "),
            keys.join("`, `")
        );
    }
}

/// Whether a row has a key, or a dotted path such as `chosen.text`.
fn has(row: &Map<String, Value>, name: &str) -> bool {
    row.contains_key(name)
        || name.split_once('.').is_some_and(|(first, rest)| {
            let inner =
                row.get(first).and_then(|first| rest.split('.').try_fold(first, |value, key| value.get(key)));
            inner.is_some()
        })
}
