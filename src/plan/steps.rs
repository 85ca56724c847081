//! How many optimiser steps a stage takes, counted as Hugging Face's trainer does.

use serde::{Deserialize, Serialize};

use crate::plan::settings::{KindSettings, StageSettings};

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
    pub fn of(stage: &StageSettings, rows: u64) -> Self {
        let settings = &stage.training;
        let micro_batches = rows.div_ceil(settings.batch_size as u64);
        let windows = micro_batches.div_ceil(settings.gradient_accumulation_steps as u64);
        // An update of PPO takes several steps on its window of prompts.
        let (steps, episodes) = match &stage.kind {
            KindSettings::Ppo(ppo) => {
                ((ppo.num_ppo_epochs * ppo.num_mini_batches) as u64, ppo.total_episodes)
            }
            _ => (1, None),
        };
        let prompts = (settings.batch_size * settings.gradient_accumulation_steps) as u64;
        let per_epoch = steps * windows;
        let by_epochs = match episodes {
            Some(episodes) => steps * episodes.div_ceil(prompts),
            None => (settings.num_train_epochs * per_epoch as f64).ceil() as u64,
        };
        let total = settings.max_steps.unwrap_or(by_epochs);
        let epochs = if per_epoch == 0 { 0.0 } else { total as f64 / per_epoch as f64 };
        Self { per_epoch, total, epochs }
    }
}
