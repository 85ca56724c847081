//! The executor of every kind: a trainer, and what sets the kind apart.

use std::path::Path;

use anyhow::Result;

use super::dpo::Dpo;
use super::sft::Sft;
use super::trainer::{Packaging, Trainer};
use super::{Kind, Metrics, Progress, Sample, StageRun, StepReport};
use crate::data::example::Family;
use crate::model::generate::greedy;
use crate::model::policy::{ModelInput, open_trained};
use crate::plan::settings::{KindSettings, StageSettings};

/// The rows of a stage, tokenised.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub train: Vec<Family>,
    pub eval: Vec<Family>,
}

/// All that a stage is made from.
pub struct StageInputs<'a> {
    pub settings: &'a StageSettings,
    pub policy: ModelInput,
    /// Another reference than the policy as the stage starts.
    pub reference: Option<ModelInput>,
    pub rows: Rows,
    /// `None`: as the model's size suggests.
    pub packaging: Option<Packaging>,
}

struct Executor {
    trainer: Trainer,
    kind: Box<dyn Kind>,
    policy: ModelInput,
}

/// Loads the model and makes the stage ready.
pub fn open(inputs: StageInputs<'_>) -> Result<Box<dyn StageRun>> {
    let StageInputs { settings, policy, reference, rows, packaging } = inputs;
    let training = settings.training.clone();
    let decoder = open_trained(&policy, training.lora.as_ref(), training.seed)?;
    let packaging =
        packaging.unwrap_or_else(|| Packaging::for_model(&decoder.config, training.gradient_checkpointing));
    let kind: Box<dyn Kind> = match &settings.kind {
        KindSettings::Sft => Box::new(Sft),
        KindSettings::Dpo(dpo) => Box::new(Dpo::new(dpo.clone(), reference)),
        other => anyhow::bail!("{} stages have no executor", other.name()),
    };
    let trainer = Trainer::new(decoder, &settings.name, training, packaging, rows.train, rows.eval)?;
    Ok(Box::new(Executor { trainer, kind, policy }))
}

impl StageRun for Executor {
    fn total_steps(&self) -> u64 {
        self.trainer.total_steps()
    }

    fn steps_per_epoch(&self) -> f64 {
        self.trainer.steps_per_epoch()
    }

    fn prepare(&mut self, stage_dir: &Path, progress: &mut Progress) -> Result<()> {
        self.kind.prepare(&mut self.trainer, stage_dir, progress)
    }

    fn step(&mut self, step: u64) -> Result<StepReport> {
        let rows = self.trainer.step_rows(step);
        let found = self.kind.gradients(&self.trainer, &rows.rows, rows.micro_batches)?;
        let (grad_norm, rate) = self.trainer.update(&rows)?;
        let mut metrics = Metrics::new();
        metrics.insert("loss".to_string(), found.get("loss").copied().unwrap_or(f64::NAN));
        metrics.insert("grad_norm".to_string(), grad_norm);
        metrics.insert("learning_rate".to_string(), rate);
        metrics.extend(found.into_iter().filter(|(name, _)| name != "loss"));
        metrics.insert("num_tokens".to_string(), self.trainer.num_tokens() as f64);
        let useful = rows.rows.iter().map(|&(_, row)| self.trainer.train[row].tokens_shared() as u64);
        Ok(StepReport { metrics, useful_tokens: useful.sum(), rows: rows.rows.len() as u64 })
    }

    fn evaluate(&mut self, progress: &mut Progress) -> Result<Option<Metrics>> {
        if self.trainer.eval.is_empty() {
            return Ok(None);
        }
        let found = self.kind.evaluate(&self.trainer, progress)?;
        Ok(Some(found.into_iter().map(|(name, value)| (format!("eval_{name}"), value)).collect()))
    }

    fn samples(&mut self, n: usize, max_new_tokens: usize, end_tokens: &[u32]) -> Result<Vec<Sample>> {
        let rows = if self.trainer.eval.is_empty() { &self.trainer.train } else { &self.trainer.eval };
        let prompts: Vec<Vec<u32>> = rows.iter().take(n).map(|family| family.prompt.clone()).collect();
        let answers = greedy(&self.trainer.decoder, &prompts, max_new_tokens, end_tokens)?;
        Ok(prompts.into_iter().zip(answers).map(|(prompt, answer)| Sample { prompt, answer }).collect())
    }

    fn save_state(&self, dir: &Path) -> Result<()> {
        self.trainer.save_state(dir)
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        self.trainer.restore(dir)
    }

    fn save_result(&self, dir: &Path) -> Result<()> {
        crate::model::result::save(
            &self.trainer.decoder,
            self.trainer.settings.lora.as_ref(),
            &self.policy.base,
            dir,
        )
    }
}
