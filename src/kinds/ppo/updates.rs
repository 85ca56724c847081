//! How a ppo stage's optimiser steps make updates.

use super::settings::PpoSettings;
use crate::batch::{BatchSettings, Steps, Windows};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Updates {
    windows: Windows,
    /// Optimiser steps.
    pub steps_per_update: u64,
    /// Optimiser steps between two looks at sample answers.
    pub sample_steps: Option<u64>,
}

impl Updates {
    /// Responses sampled in so many updates.
    pub fn responses_after(&self, updates: u64) -> u64 {
        self.windows.rows_in(updates)
    }

    /// Of a stage with `rows` prompts.
    pub fn of(batches: &BatchSettings, settings: &PpoSettings, rows: usize) -> Self {
        let episodes = settings.episodes();
        let steps_per_update = episodes.steps_per_window;
        let updates = Steps::of(batches, episodes, rows).total.div_ceil(steps_per_update);
        let every = |looks: usize| updates.div_ceil(looks as u64).max(1) * steps_per_update;
        Updates {
            windows: Windows::of(batches, rows),
            steps_per_update,
            sample_steps: (settings.num_sample_generations > 0)
                .then(|| every(settings.num_sample_generations)),
        }
    }
}
