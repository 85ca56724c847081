//! How many rows a step takes, and how often each.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Keys of a stage; names and defaults are those of Hugging Face's trainer, but for `batch_size`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BatchSettings {
    /// Rows (pairs for preference kinds, prompts for ppo) in a micro-batch.
    #[schemars(range(min = 1, max = 1048576))]
    pub batch_size: usize,
    /// Micro-batches in an optimiser step; of ppo, in an update of `num_ppo_epochs` times
    /// `num_mini_batches` steps.
    #[schemars(range(min = 1, max = 1048576))]
    pub gradient_accumulation_steps: usize,
    /// Passes over the data; may be a fraction.
    #[schemars(range(max = 1000000.0), extend("exclusiveMinimum" = 0))]
    pub num_train_epochs: f64,
    /// Optimiser steps; overrides `num_train_epochs`.
    #[schemars(range(min = 1))]
    pub max_steps: Option<u64>,
    /// Whether each epoch has the rows in another order.
    pub shuffle: bool,
}

impl Default for BatchSettings {
    fn default() -> Self {
        BatchSettings {
            batch_size: 1,
            gradient_accumulation_steps: 1,
            num_train_epochs: 3.0,
            max_steps: None,
            shuffle: true,
        }
    }
}

impl BatchSettings {
    /// Rows of an optimiser step, or of an update of ppo.
    pub fn rows_in_window(&self) -> usize {
        self.batch_size.saturating_mul(self.gradient_accumulation_steps)
    }
}
