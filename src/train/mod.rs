//! What all kinds of training share: batch → model → objective → gradients → optimiser.
//!
//! | file | what it holds |
//! |---|---|
//! | [`settings`] | the keys that every kind has |
//! | [`executor`] | an algorithm and what it trains, as [`StageRun`] |
//! | [`trainer`] | models in training, the optimiser's step, the state |
//! | [`algorithm`] | what sets a kind apart; losses that are functions of answers' log-probabilities |
//! | [`row`] | one row's log-probabilities, and the loss's derivatives |
//! | [`passes`] | forward and backward of one pass |
//! | [`reference`] | log-probabilities of the reference policy, stored |
//! | [`completion_sums`], [`means`], [`pair_metrics`] | what is reported of rows |
//! | [`metric`] | the table of metrics: averaged how, shown where |

pub mod algorithm;
pub mod completion_sums;
pub mod executor;
pub mod means;
pub mod metric;
pub mod pair_metrics;
pub mod passes;
pub mod reference;
pub mod row;
pub mod settings;
pub mod trainer;

use std::path::Path;

use anyhow::Result;
use indexmap::IndexMap;

pub use self::algorithm::Algorithm;
pub use self::executor::{Executor, Opening};
pub use self::settings::TrainingSettings;
use crate::data::example::Example;

/// Metric name (TRL's names) → value, in the order they are written.
pub type Metrics = IndexMap<String, f64>;

/// One optimiser step, done.
#[derive(Debug, Clone)]
pub struct StepReport {
    /// `loss`, `grad_norm`, `learning_rate`, and the kind's own metrics.
    pub metrics: Metrics,
    /// Tokens that went through the model, prompts counted once, no padding.
    pub useful_tokens: u64,
    /// Rows (pairs for preference kinds) trained on in this step.
    pub rows: u64,
}

/// A prompt and the model's greedy continuation, as tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub prompt: Vec<u32>,
    pub answer: Vec<u32>,
}

/// Called with (done, total) while something long goes on; an `Err` stops it (an interrupt).
pub type Progress<'a> = dyn FnMut(u64, u64) -> Result<()> + 'a;

/// A stage ready to train: models loaded, rows tokenised. `run` walks steps through it and never asks what
/// kind it has.
pub trait StageRun {
    /// Optimiser steps in all.
    fn total_steps(&self) -> u64;
    /// Optimiser steps per epoch; `epoch` of step s is s / this.
    fn steps_per_epoch(&self) -> f64;
    /// Work before the first step. Reference log-probs are read from the folder `references`, or
    /// computed and written there.
    fn prepare(&mut self, references: &Path, progress: &mut Progress) -> Result<()>;
    /// Optimiser step `step` (0-based). Steps must come in order from the restored one. An `Err` of
    /// `progress` leaves the stage as it was before the step.
    fn step(&mut self, step: u64, progress: &mut Progress) -> Result<StepReport>;
    /// Metrics on the held-out rows, names prefixed `eval_`; `None` if there are none.
    fn evaluate(&mut self, progress: &mut Progress) -> Result<Option<Metrics>>;
    /// Greedy continuations, at most `max_new_tokens` long, of the held-out prompts `asked` (training
    /// prompts if none are held out), each row counted once; there are none of numbers past the last
    /// prompt's. A reward model has none.
    fn samples(&mut self, asked: &[usize], max_new_tokens: usize, end_tokens: &[u32]) -> Result<Vec<Sample>>;
    /// Steps between two looks at such samples during training.
    fn sample_steps(&self) -> Option<u64> {
        None
    }
    /// Writes all that `restore` needs into an existing, empty folder.
    fn save_state(&self, dir: &Path) -> Result<()>;
    /// Continues exactly where `save_state` left off. Comes after `prepare`, which needs the model as
    /// the stage started.
    fn restore(&mut self, dir: &Path) -> Result<()>;
    /// Errors, with the weight, if a trained weight holds a value that is not finite.
    fn check_finite(&self) -> Result<()>;
    /// Writes the result (HF or PEFT layout) into an existing, empty folder.
    fn save_result(&self, dir: &Path) -> Result<()>;
}

/// What one optimiser step's gradients came from.
pub struct Gradients {
    /// `loss` and the kind's own.
    pub metrics: Metrics,
    /// Tokens trained on, each answer with a prompt of its own.
    pub tokens: u64,
    /// Tokens that went through the model, prompts counted once.
    pub useful_tokens: u64,
    pub rows: u64,
}

impl Gradients {
    /// Of rows all of whose answers are trained on.
    pub fn of(metrics: Metrics, examples: &[&Example]) -> Self {
        Gradients {
            metrics,
            tokens: examples.iter().map(|example| example.tokens_unshared() as u64).sum(),
            useful_tokens: examples.iter().map(|example| example.tokens_shared() as u64).sum(),
            rows: examples.len() as u64,
        }
    }
}
