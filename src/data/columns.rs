//! Whether the columns that a recipe names are there.

use anyhow::{Result, bail};
use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value};

use super::format::FileNotes;

/// Keys of a row that an error names at most.
const NAMED: usize = 20;

/// The columns of a data set's files, as rows come by.
pub struct ColumnCheck<'a> {
    /// Our name → theirs, of those that no row had yet.
    absent: IndexMap<&'a str, &'a str>,
    columns: &'a IndexMap<String, String>,
    /// Keys that rows have.
    keys: IndexSet<String>,
}

impl<'a> ColumnCheck<'a> {
    pub fn new(columns: &'a IndexMap<String, String>) -> Self {
        let absent = columns.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str())).collect();
        Self { absent, columns, keys: IndexSet::new() }
    }

    /// Looks at a row as its file has it. A column that gives its name to another is not read.
    pub fn look(&mut self, row: &Map<String, Value>, notes: &mut FileNotes) {
        self.absent.retain(|_, theirs| !has(row, theirs));
        if !self.absent.is_empty() {
            let new = row.keys().filter(|key| self.keys.len() < NAMED && !self.keys.contains(*key));
            let new: Vec<String> = new.cloned().collect();
            self.keys.extend(new);
        }
        for (ours, theirs) in self.columns {
            let is_read = self.columns.values().any(|read| read.split('.').next() == Some(ours));
            let replaced = row.get(ours).is_some_and(|value| !value.is_null());
            if ours != theirs && replaced && !is_read && has(row, theirs) {
                notes.unread(format!("/{ours}"));
            }
        }
    }

    /// Errors if a column was in no row.
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
