//! An algorithm and the models that it trains, as a stage that can be run.

use std::path::Path;

use anyhow::Result;

use super::algorithm::Algorithm;
use super::metric::{GRAD_NORM, LEARNING_RATE, LOSS, NUM_TOKENS, held_out};
use super::settings::TrainingSettings;
use super::trainer::{TrainedModels, Trainer};
use super::{Metrics, Progress, Sample, StageRun, StepReport};
use crate::backend::Compute;
use crate::data::example::{Example, one_per_row};
use crate::model::artifact::Artifact;
use crate::model::generate::greedy;
use crate::model::policy;

/// What a kind's algorithm is opened from. It may add to `models`, and set what its trainer does.
pub struct Opening<'a> {
    /// The stage's name.
    pub stage: &'a str,
    pub training: &'a TrainingSettings,
    /// Where the models lie.
    pub compute: &'a Compute,
    /// Opens further models; those on one base share its weights.
    pub opened: policy::Models,
    pub policy: &'a Artifact,
    /// Another reference than the policy as the stage starts.
    pub reference: Option<Artifact>,
    /// The reward model of a ppo stage.
    pub reward: Option<Artifact>,
    /// What is trained.
    pub models: TrainedModels,
    /// Number of training rows.
    pub rows: usize,
    /// Tokens that end an answer, and what the template writes after one.
    pub end_tokens: Vec<u32>,
    pub closing: Vec<u32>,
    /// Of the policy's distribution.
    pub temperature: f64,
    /// Whether LoRA may drop anything.
    pub may_drop: bool,
}

/// A stage under way.
pub struct Executor {
    pub trainer: Trainer,
    pub algorithm: Box<dyn Algorithm>,
    pub policy: Artifact,
}

impl StageRun for Executor {
    fn total_steps(&self) -> u64 {
        self.trainer.steps().total
    }

    fn steps_per_epoch(&self) -> f64 {
        self.trainer.steps().per_epoch as f64
    }

    fn prepare(&mut self, references: &Path, progress: &mut Progress) -> Result<()> {
        self.algorithm.prepare(&mut self.trainer, references, progress)
    }

    fn step(&mut self, step: u64, progress: &mut Progress) -> Result<StepReport> {
        let found = self.algorithm.gradients(&mut self.trainer, step, progress)?;
        let (grad_norm, rate) = self.trainer.update(found.tokens)?;
        let mut metrics = Metrics::new();
        metrics.insert(LOSS.name.to_string(), found.metrics.get(LOSS.name).copied().unwrap_or(f64::NAN));
        metrics.insert(GRAD_NORM.name.to_string(), grad_norm);
        metrics.insert(LEARNING_RATE.name.to_string(), rate);
        metrics.extend(found.metrics.into_iter().filter(|(name, _)| name != LOSS.name));
        metrics.insert(NUM_TOKENS.name.to_string(), self.trainer.num_tokens() as f64);
        Ok(StepReport { metrics, useful_tokens: found.useful_tokens, rows: found.rows })
    }

    fn evaluate(&mut self, progress: &mut Progress) -> Result<Option<Metrics>> {
        if self.trainer.eval.is_empty() {
            return Ok(None);
        }
        let found = self.algorithm.evaluate(&self.trainer, progress)?;
        Ok(Some(found.into_iter().map(|(name, value)| (held_out(&name), value)).collect()))
    }

    fn samples(&mut self, asked: &[usize], max_new_tokens: usize, end_tokens: &[u32]) -> Result<Vec<Sample>> {
        if !self.algorithm.generates() {
            return Ok(Vec::new());
        }
        let rows = if self.trainer.eval.is_empty() { &self.trainer.train } else { &self.trainer.eval };
        let rows: Vec<&Example> = one_per_row(rows).collect();
        let prompts = asked.iter().filter_map(|&row| rows.get(row)).map(|example| example.prompt.clone());
        let prompts: Vec<Vec<u32>> = prompts.collect();
        let answers = greedy(self.trainer.decoder(), &prompts, max_new_tokens, end_tokens)?;
        Ok(prompts.into_iter().zip(answers).map(|(prompt, answer)| Sample { prompt, answer }).collect())
    }

    fn sample_steps(&self) -> Option<u64> {
        self.algorithm.sample_steps()
    }

    fn save_state(&self, dir: &Path) -> Result<()> {
        self.trainer.save_state(dir)?;
        self.algorithm.save_state(dir)
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        self.trainer.restore(dir)?;
        self.algorithm.restore(dir)
    }

    fn check_finite(&self) -> Result<()> {
        self.trainer.check_finite()
    }

    fn save_result(&self, dir: &Path) -> Result<()> {
        let trainer = &self.trainer;
        crate::model::result::save(
            trainer.decoder(),
            trainer.models.head.as_ref(),
            &trainer.settings.tuner,
            &self.policy.base,
            dir,
        )
    }
}
