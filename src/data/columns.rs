//! Whether the rows have the columns that a recipe names.

use anyhow::{Result, bail};
use indexmap::{IndexMap, IndexSet};
use serde_json::{Map, Value};

use super::format::FileNotes;

/// The largest number of keys that an error names.
const NAMED: usize = 20;

/// Checks the columns of a data set row by row.
pub struct ColumnCheck<'a> {
    /// The columns that no row had yet: our names and those of the file.
    absent: IndexMap<&'a str, &'a str>,
    columns: &'a IndexMap<String, String>,
    /// The keys that rows have.
    keys: IndexSet<String>,
}

impl<'a> ColumnCheck<'a> {
    pub fn new(columns: &'a IndexMap<String, String>) -> Self {
        let absent = columns.iter().map(|(ours, theirs)| (ours.as_str(), theirs.as_str())).collect();
        Self { absent, columns, keys: IndexSet::new() }
    }

    /// Looks at a row as it is in its file. Notes a column that is not read because another column is
    /// mapped to its name.
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
