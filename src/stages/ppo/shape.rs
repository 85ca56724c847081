//! How a ppo stage's optimiser steps make updates.

use crate::plan::settings::{PpoSettings, StageSettings};
use crate::plan::steps::{Steps, Windows};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    windows: Windows,
    /// Optimiser steps.
    pub steps_per_update: u64,
    /// Optimiser steps between two looks at sample answers.
    pub sample_steps: Option<u64>,
}

impl Shape {
    /// Responses sampled in so many updates.
    pub fn responses_after(&self, updates: u64) -> u64 {
        self.windows.rows_in(updates)
    }

    /// Of a stage with `rows` prompts.
    pub fn of(stage: &StageSettings, settings: &PpoSettings, rows: usize) -> Self {
        let steps_per_update = (settings.num_ppo_epochs * settings.num_mini_batches) as u64;
        let updates = Steps::of(stage, rows as u64).total.div_ceil(steps_per_update);
        let every = |looks: usize| updates.div_ceil(looks as u64).max(1) * steps_per_update;
        Shape {
            windows: Windows::of(&stage.training, rows as u64),
            steps_per_update,
            sample_steps: (settings.num_sample_generations > 0)
                .then(|| every(settings.num_sample_generations)),
        }
    }
}
