//! What a finished stage keeps about itself: `summary.json`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// The time and work that the stage took.
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
    /// What a person should know before using the result: see `report::collapse`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
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
