//! What a finished stage keeps about itself, for the table at the end of this run and later ones.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::plan::folder::StageFolder;
use crate::report::jsonl;
use crate::report::metrics::Row;
use crate::report::samples::{self, BeforeAfter, SampleRow};

/// `summary.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    pub steps: u64,
    /// Time spent on optimiser steps, over all sessions.
    pub seconds: f64,
    /// Tokens that went through the model, prompts counted once.
    pub useful_tokens: u64,
    pub rows: u64,
    /// Operations of the optimiser steps, by the plan's count.
    pub flops: f64,
}

impl Summary {
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is damaged", path.display()))
    }

    pub fn tokens_per_second(&self) -> f64 {
        self.useful_tokens as f64 / self.seconds.max(1e-9)
    }

    pub fn flops_per_second(&self) -> f64 {
        self.flops / self.seconds.max(1e-9)
    }
}

/// All that a finished stage tells, read back from its folder.
#[derive(Debug, Clone)]
pub struct StageReport {
    pub name: String,
    pub kind: String,
    pub summary: Summary,
    pub rows: Vec<Row>,
    pub samples: Vec<BeforeAfter>,
}

impl StageReport {
    pub fn read(name: &str, kind: &str, folder: &StageFolder) -> Result<Self> {
        let samples: Vec<SampleRow> = jsonl::read(&folder.samples())?;
        Ok(Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            summary: Summary::read(&folder.summary())?,
            rows: jsonl::read(&folder.metrics())?,
            samples: samples::before_after(&samples),
        })
    }

    /// The held-out metric's first and last value, if rows are held out.
    pub fn before_after(&self, metric: &str) -> Option<(f64, f64)> {
        let mut values = self.rows.iter().filter_map(|row| row.get(metric));
        let first = values.next()?;
        Some((first, values.next_back().unwrap_or(first)))
    }
}
