//! How many optimiser steps a stage takes, counted as Hugging Face's trainer does.

use serde::{Deserialize, Serialize};

use super::settings::BatchSettings;
use super::windows::Windows;

/// Optimiser steps of a stage.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Steps {
    /// A short last window counts as a step, a short last update of ppo as a whole one.
    pub per_epoch: u64,
    pub total: u64,
    /// Passes over the training rows, maybe not whole.
    pub epochs: f64,
}

/// What a stage does with a window that answers its prompts before it trains on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episodes {
    /// Optimiser steps on the responses to a window's prompts.
    pub steps_per_window: u64,
    /// Responses in all; overrides `num_train_epochs`.
    pub total: Option<u64>,
}

impl Default for Episodes {
    /// One step per window, as of a stage that trains on its rows' own answers.
    fn default() -> Self {
        Episodes { steps_per_window: 1, total: None }
    }
}

impl Steps {
    /// Steps over `rows` training rows.
    pub fn of(settings: &BatchSettings, episodes: Episodes, rows: usize) -> Self {
        let windows = Windows::of(settings, rows);
        let by_epochs = (settings.num_train_epochs * windows.per_epoch() as f64).ceil() as u64;
        let windows_in_all = episodes.total.map_or(by_epochs, |episodes| windows.that_hold(episodes));
        let per_epoch = windows.per_epoch().saturating_mul(episodes.steps_per_window);
        let total = settings.max_steps.unwrap_or(windows_in_all.saturating_mul(episodes.steps_per_window));
        let epochs = if per_epoch == 0 { 0.0 } else { total as f64 / per_epoch as f64 };
        Self { per_epoch, total, epochs }
    }
}
