//! The settings of a `[data.NAME]` table.

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One `[data.NAME]` table, resolved: absolute files, defaults filled in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    pub name: String,
    /// Paths or glob patterns as written, relative to the recipe.
    pub source: Vec<String>,
    /// The files that `source` stands for, in the order of the patterns and sorted within each. All of them
    /// exist.
    pub files: Vec<PathBuf>,
    /// `None` means that the format is detected from the first rows.
    pub format: Option<Format>,
    /// For our names of columns those of the file, e.g. `prompt` → `question`.
    pub columns: IndexMap<String, String>,
    /// For our roles their names in the files, e.g. `user` → `customer`.
    pub roles: IndexMap<String, Vec<String>>,
    /// The share of the rows that is held out, 0..1. These are the same rows for every stage that reads
    /// this data.
    pub eval_fraction: f64,
    /// The largest number of rows that is read, from the top.
    pub limit: Option<usize>,
    /// The number of malformed rows that is tolerated.
    pub max_bad_rows: usize,
    /// The share of the rows read that may be dropped, malformed ones included, 0..=1.
    pub max_dropped: f64,
    /// The largest number of bytes that a row may have in its file, unpacked.
    #[serde(default = "max_row_bytes")]
    pub max_row_bytes: usize,
}

/// [`DataSpec::max_row_bytes`] where a recipe says nothing.
pub const MAX_ROW_BYTES: usize = 64_000_000;

fn max_row_bytes() -> usize {
    MAX_ROW_BYTES
}

impl Default for DataSpec {
    /// No files, all rows of which would have to be sound.
    fn default() -> Self {
        Self {
            name: String::new(),
            source: Vec::new(),
            files: Vec::new(),
            format: None,
            columns: IndexMap::new(),
            roles: IndexMap::new(),
            eval_fraction: 0.0,
            limit: None,
            max_bad_rows: 0,
            max_dropped: 0.0,
            max_row_bytes: MAX_ROW_BYTES,
        }
    }
}

/// What the rows are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// Conversations, or prompts with one answer.
    Sft,
    /// Prompts with a chosen and a rejected answer.
    Preference,
    /// Prompts with one answer, labelled good or bad.
    Unpaired,
    /// Prompts alone.
    Prompt,
}
