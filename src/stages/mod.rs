//! Stage executors: one file a kind, thin: batch → model → objective → gradients → optimiser.
//! `run` walks steps through [`StageRun`] and never asks what kind it has.

pub mod batch;
mod dpo;
mod executor;
mod means;
mod reference;
mod sampler;
mod sft;
pub mod trainer;

use std::path::Path;

use anyhow::Result;
use indexmap::IndexMap;

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

/// A stage ready to train: model loaded, rows tokenised.
pub trait StageRun {
    /// Optimiser steps in all.
    fn total_steps(&self) -> u64;
    /// Optimiser steps an epoch; `epoch` of step s is s / this.
    fn steps_per_epoch(&self) -> f64;
    /// Work before the first step (reference log-probs), written under `stage_dir`, reused if there.
    fn prepare(&mut self, stage_dir: &Path, progress: &mut Progress) -> Result<()>;
    /// Optimiser step `step` (0-based). Steps must come in order from the restored one.
    fn step(&mut self, step: u64) -> Result<StepReport>;
    /// Metrics on the held-out rows, names prefixed `eval_`; `None` if there are none.
    fn evaluate(&mut self, progress: &mut Progress) -> Result<Option<Metrics>>;
    /// Greedy continuations, at most `max_new_tokens` long, of the first `n` held-out prompts
    /// (training prompts if none are held out).
    fn samples(&mut self, n: usize, max_new_tokens: usize, end_tokens: &[u32]) -> Result<Vec<Sample>>;
    /// Writes all that `restore` needs into an existing, empty folder.
    fn save_state(&self, dir: &Path) -> Result<()>;
    /// Continues exactly where `save_state` left off. Comes after `prepare`, which needs the model as
    /// the stage started.
    fn restore(&mut self, dir: &Path) -> Result<()>;
    /// Writes the result (HF or PEFT layout) into an existing, empty folder.
    fn save_result(&self, dir: &Path) -> Result<()>;
}

/// What sets one kind of training apart.
trait Kind {
    /// Work before the first step, with the model as the stage starts.
    fn prepare(&mut self, _: &mut Trainer, _stage_dir: &Path, _: &mut Progress) -> Result<()> {
        Ok(())
    }

    /// Adds the gradients of one optimiser step over (micro-batch, row); returns `loss` and metrics.
    fn gradients(&self, trainer: &Trainer, rows: &[(usize, usize)], micro_batches: usize) -> Result<Metrics>;

    /// `loss` and metrics on the held-out rows.
    fn evaluate(&self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics>;
}
