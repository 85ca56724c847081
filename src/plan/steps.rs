//! How many optimiser steps a stage takes, counted as Hugging Face's trainer does.

use serde::{Deserialize, Serialize};

use crate::plan::settings::{KindSettings, StageSettings};

/// Optimiser steps of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// A short last window counts as a step, a short last update of ppo as a whole one.
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
        let by_epochs = (settings.num_train_epochs * windows as f64).ceil() as u64;
        // Ppo takes several steps on the responses to a window's prompts.
        let (steps_a_window, windows_in_all) = match &stage.kind {
            KindSettings::Ppo(ppo) => {
                let prompts = (settings.batch_size * settings.gradient_accumulation_steps) as u64;
                let by_episodes = ppo.total_episodes.map(|episodes| episodes.div_ceil(prompts));
                ((ppo.num_ppo_epochs * ppo.num_mini_batches) as u64, by_episodes.unwrap_or(by_epochs))
            }
            _ => (1, by_epochs),
        };
        let per_epoch = windows * steps_a_window;
        let total = settings.max_steps.unwrap_or(windows_in_all * steps_a_window);
        let epochs = if per_epoch == 0 { 0.0 } else { total as f64 / per_epoch as f64 };
        Self { per_epoch, total, epochs }
    }
}
