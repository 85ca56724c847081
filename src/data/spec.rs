//! What a `[data.NAME]` table resolves to.

use std::path::PathBuf;

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One `[data.NAME]` table, resolved: absolute files, defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    pub name: String,
    /// Paths or glob patterns as written, relative to the recipe.
    pub source: Vec<String>,
    /// Files that `source` stands for, sorted within a pattern, patterns in order; all exist.
    pub files: Vec<PathBuf>,
    /// `None`: detected from the first rows.
    pub format: Option<Format>,
    /// Our column name → the file's, e.g. `prompt` → `question`.
    pub columns: IndexMap<String, String>,
    /// Our role → names of roles in the files, e.g. `user` → `customer`.
    pub roles: IndexMap<String, Vec<String>>,
    /// Share of the rows held out, 0..1. The same rows for every stage that reads this data.
    pub eval_fraction: f64,
    /// Rows read at most, from the top.
    pub limit: Option<usize>,
    /// Malformed rows tolerated.
    pub max_bad_rows: usize,
    /// Share of the rows read that may be dropped, malformed ones included, 0..=1.
    pub max_dropped: f64,
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
