//! How many optimiser steps a stage takes, counted as Hugging Face's trainer does.

use serde::{Deserialize, Serialize};

use crate::plan::settings::{KindSettings, StageSettings, TrainingSettings};

/// Optimiser steps of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// A short last window counts as a step, a short last update of ppo as a whole one.
    pub per_epoch: u64,
    pub total: u64,
    /// Passes over the training rows, maybe not whole.
    pub epochs: f64,
}

/// An epoch's rows in windows of `batch_size × gradient_accumulation_steps`, the last one maybe short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    rows: u64,
    size: u64,
    per_epoch: u64,
}

impl Windows {
    pub fn of(settings: &TrainingSettings, rows: u64) -> Self {
        let size = (settings.batch_size * settings.gradient_accumulation_steps) as u64;
        Windows { rows, size, per_epoch: rows.div_ceil(size) }
    }

    /// Rows of the first `windows`.
    pub fn rows_in(&self, windows: u64) -> u64 {
        let (epochs, more) = (windows / self.per_epoch.max(1), windows % self.per_epoch.max(1));
        epochs * self.rows + more * self.size
    }

    /// The least windows that hold `rows` rows.
    fn that_hold(&self, rows: u64) -> u64 {
        let (epochs, more) = (rows / self.rows.max(1), rows % self.rows.max(1));
        epochs * self.per_epoch + more.div_ceil(self.size)
    }
}

impl Steps {
    /// Steps over `rows` training rows.
    pub fn of(stage: &StageSettings, rows: u64) -> Self {
        let settings = &stage.training;
        let windows = Windows::of(settings, rows);
        let by_epochs = (settings.num_train_epochs * windows.per_epoch as f64).ceil() as u64;
        // Ppo takes several steps on the responses to a window's prompts.
        let (steps_a_window, windows_in_all) = match &stage.kind {
            KindSettings::Ppo(ppo) => {
                let by_episodes = ppo.total_episodes.map(|episodes| windows.that_hold(episodes));
                ((ppo.num_ppo_epochs * ppo.num_mini_batches) as u64, by_episodes.unwrap_or(by_epochs))
            }
            _ => (1, by_epochs),
        };
        let per_epoch = windows.per_epoch * steps_a_window;
        let total = settings.max_steps.unwrap_or(windows_in_all * steps_a_window);
        let epochs = if per_epoch == 0 { 0.0 } else { total as f64 / per_epoch as f64 };
        Self { per_epoch, total, epochs }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_last_window_counts_its_own_rows() {
        let windows = Windows { rows: 11, size: 4, per_epoch: 3 };
        assert_eq!([1, 2, 3, 4, 6, 7].map(|n| windows.rows_in(n)), [4, 8, 11, 15, 22, 26]);
        assert_eq!([1, 8, 9, 11, 12, 40].map(|n| windows.that_hold(n)), [1, 2, 3, 3, 4, 11]);
    }
}
