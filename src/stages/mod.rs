//! Stage executors: one file a kind, thin: batch → model → objective → gradients → optimiser.
//! `run` walks steps through [`StageRun`] and never asks what kind it has.

pub mod answer;
mod answers;
pub mod batch;
mod dpo;
#[cfg(test)]
mod emulated;
mod executor;
mod kto;
mod means;
pub mod packaging;
mod pair_metrics;
mod passes;
mod ppo;
pub mod reference;
mod reference_free;
mod rm;
pub mod sampler;
mod sft;
#[cfg(test)]
mod slopes;
pub mod trainer;

use std::path::Path;

use anyhow::Result;
use indexmap::IndexMap;

use crate::data::example::Family;
pub use executor::{Rows, StageInputs, open};
use trainer::Trainer;

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

/// A stage ready to train: models loaded, rows tokenised.
pub trait StageRun {
    /// Optimiser steps in all.
    fn total_steps(&self) -> u64;
    /// Optimiser steps an epoch; `epoch` of step s is s / this.
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
    /// prompts if none are held out), counted once a row; there are none of numbers past the last
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
    /// Writes the result (HF or PEFT layout) into an existing, empty folder.
    fn save_result(&self, dir: &Path) -> Result<()>;
}

/// What one optimiser step's gradients came from.
struct Gradients {
    /// `loss` and the kind's own.
    metrics: Metrics,
    /// Tokens trained on, prompts counted once an answer.
    tokens: u64,
    /// Tokens that went through the model, prompts counted once.
    useful_tokens: u64,
    rows: u64,
}

impl Gradients {
    /// Of rows whose every branch is trained on.
    fn of(metrics: Metrics, families: &[&Family]) -> Self {
        Gradients {
            metrics,
            tokens: families.iter().map(|family| family.tokens_unshared() as u64).sum(),
            useful_tokens: families.iter().map(|family| family.tokens_shared() as u64).sum(),
            rows: families.len() as u64,
        }
    }
}

/// What sets one kind of training apart.
trait Kind {
    /// Work before the first step, with the models as the stage starts.
    fn prepare(&mut self, _: &mut Trainer, _references: &Path, _: &mut Progress) -> Result<()> {
        Ok(())
    }

    /// Adds the gradients of optimiser step `step`. An `Err` of `progress` leaves everything as it was.
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, progress: &mut Progress) -> Result<Gradients>;

    /// `loss` and metrics on the held-out rows.
    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics>;

    /// Whether the model answers prompts.
    fn speaks(&self) -> bool {
        true
    }

    fn sample_steps(&self) -> Option<u64> {
        None
    }

    /// What the kind itself must keep between two steps, beside the trainer's state.
    fn save_state(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn restore(&mut self, _dir: &Path) -> Result<()> {
        Ok(())
    }
}
