//! How many optimiser steps a stage takes, counted as Hugging Face's trainer does.

use serde::{Deserialize, Serialize};

use crate::plan::settings::TrainingSettings;

/// Optimiser steps of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// A short last window counts as a step.
    pub per_epoch: u64,
    pub total: u64,
    /// Passes over the training rows, maybe not whole.
    pub epochs: f64,
}

impl Steps {
    /// Steps over `rows` training rows.
    pub fn of(settings: &TrainingSettings, rows: u64) -> Self {
        let micro_batches = rows.div_ceil(settings.batch_size as u64);
        let per_epoch = micro_batches.div_ceil(settings.gradient_accumulation_steps as u64);
        let by_epochs = (settings.num_train_epochs * per_epoch as f64).ceil() as u64;
        let total = settings.max_steps.unwrap_or(by_epochs);
        let epochs = if per_epoch == 0 { 0.0 } else { total as f64 / per_epoch as f64 };
        Self { per_epoch, total, epochs }
    }
}
