//! The executor of every kind: a trainer, and what sets the kind apart.

use std::path::Path;

use anyhow::{Context, Result, ensure};

use super::answers::Answers;
use super::dpo::Dpo;
use super::kto::Kto;
use super::packaging::Packaging;
use super::ppo::{Judges, Ppo};
use super::reference_free::{Cpo, Orpo, Simpo};
use super::rm::Rm;
use super::sft::Sft;
use super::trainer::{Critic, Models, Trainer};
use super::{Kind, Metrics, Progress, Sample, StageRun, StepReport};
use crate::backend::Compute;
use crate::data::example::{Family, one_a_row};
use crate::model::generate::greedy;
use crate::model::policy::{self, ModelInput};
use crate::model::pooling;
use crate::model::value_head::{HeadFormat, TrainedPart, ValueHead};
use crate::plan::settings::{KindSettings, StageSettings};

/// The rows of a stage, tokenised.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub train: Vec<Family>,
    pub eval: Vec<Family>,
    /// Tokens that end an answer.
    pub end_tokens: Vec<u32>,
    /// What the template writes after an answer's end token.
    pub closing: Vec<u32>,
}

/// All that a stage is made from.
pub struct StageInputs<'a> {
    pub settings: &'a StageSettings,
    /// Where the models lie.
    pub place: &'a Compute,
    pub policy: ModelInput,
    /// Another reference than the policy as the stage starts.
    pub reference: Option<ModelInput>,
    /// The reward model of a ppo stage.
    pub reward: Option<ModelInput>,
    pub rows: Rows,
    /// `None`: as the model's size suggests.
    pub packaging: Option<Packaging>,
}

struct Executor {
    trainer: Trainer,
    kind: Box<dyn Kind>,
    policy: ModelInput,
}

/// Loads the models and makes the stage ready.
pub fn open(inputs: StageInputs<'_>) -> Result<Box<dyn StageRun>> {
    let StageInputs { settings, place, policy, reference, reward, rows, packaging } = inputs;
    let (training, device) = (&settings.training, &place.device);
    let mut opened = policy::Models::at(place);
    let decoder = opened.trained(&policy, training.lora.as_ref(), training.seed)?;
    ensure!(
        !decoder.is_headless() || matches!(settings.kind, KindSettings::Rm(_)),
        "`{}` is a reward model without a head for tokens (`lm_head.weight`): it cannot answer",
        policy.base.display()
    );
    let packaging =
        packaging.unwrap_or_else(|| Packaging::for_decoder(&decoder, training.gradient_checkpointing));
    let mut models = Models { decoder, head: None, critic: None };
    let Rows { train, eval, end_tokens, closing } = rows;
    let kind: Box<dyn Kind> = match &settings.kind {
        KindSettings::Sft => Box::new(Sft),
        KindSettings::Dpo(dpo) => Box::new(Answers { objective: Dpo::new(dpo.clone(), reference) }),
        KindSettings::Kto(kto) => Box::new(Answers { objective: Kto::new(kto, reference) }),
        KindSettings::Cpo(cpo) => Box::new(Answers { objective: Cpo(cpo.clone()) }),
        KindSettings::Orpo(orpo) => Box::new(Answers { objective: Orpo(orpo.clone()) }),
        KindSettings::Simpo(simpo) => Box::new(Answers { objective: Simpo(simpo.clone()) }),
        KindSettings::Rm(rm) => {
            models.decoder = models.decoder.with_frozen_lm_head();
            let config = &models.decoder.config;
            // a classifier's head has no place for a bias
            let (adapter, head) = (policy.adapter.as_deref(), policy.head.as_deref());
            let is_classifier = pooling::is_classifier(config, adapter, head)?;
            let part = match rm.head_bias && !is_classifier {
                true => TrainedPart::WeightAndBias,
                false => TrainedPart::Weight,
            };
            let mut head = match head {
                Some(head) => ValueHead::read(head, config.hidden_size, part, device)?,
                None => {
                    let range = config.initializer_range;
                    ValueHead::new(config.hidden_size, range, training.seed, part, device)?
                }
            };
            if is_classifier {
                head.format = HeadFormat::Classifier;
            }
            head.passed_over = pooling::passed_over(&policy, config)?;
            models.head = Some(head);
            Box::new(Rm { settings: rm.clone() })
        }
        KindSettings::Ppo(ppo) => {
            let reward = reward.context("a ppo stage has a reward model")?;
            let head = reward.head.as_ref();
            let head = head.with_context(|| format!("`{}` has no value head", reward.base.display()))?;
            let decoder = opened.frozen(&reward)?;
            let width = decoder.config.hidden_size;
            let valued = opened.continued(&reward, training.lora.as_ref(), training.seed)?;
            models.critic = Some(Critic {
                decoder: valued.without_lm_head(),
                head: ValueHead::read(head, width, TrainedPart::WeightAndBias, device)?,
            });
            let reference = opened.frozen(reference.as_ref().unwrap_or(&policy))?;
            let mut head = ValueHead::read(head, width, TrainedPart::Nothing, device)?;
            head.passed_over = pooling::passed_over(&reward, &decoder.config)?;
            let reward = Critic { decoder, head };
            Box::new(Ppo::new(settings, ppo, train.len(), Judges { reference, reward }, end_tokens, closing))
        }
    };
    let mut trainer = Trainer::new(models, settings, packaging, train, eval)?;
    if let KindSettings::Ppo(ppo) = &settings.kind {
        // dropout would make the ratio of a token's probabilities noise
        trainer.drops = false;
        trainer.temperature = ppo.temperature;
    }
    Ok(Box::new(Executor { trainer, kind, policy }))
}

impl StageRun for Executor {
    fn total_steps(&self) -> u64 {
        self.trainer.steps().total
    }

    fn steps_per_epoch(&self) -> f64 {
        self.trainer.steps().per_epoch as f64
    }

    fn prepare(&mut self, references: &Path, progress: &mut Progress) -> Result<()> {
        self.kind.prepare(&mut self.trainer, references, progress)
    }

    fn step(&mut self, step: u64, progress: &mut Progress) -> Result<StepReport> {
        let found = self.kind.gradients(&mut self.trainer, step, progress)?;
        let (grad_norm, rate) = self.trainer.update(found.tokens)?;
        let mut metrics = Metrics::new();
        metrics.insert("loss".to_string(), found.metrics.get("loss").copied().unwrap_or(f64::NAN));
        metrics.insert("grad_norm".to_string(), grad_norm);
        metrics.insert("learning_rate".to_string(), rate);
        metrics.extend(found.metrics.into_iter().filter(|(name, _)| name != "loss"));
        metrics.insert("num_tokens".to_string(), self.trainer.num_tokens() as f64);
        Ok(StepReport { metrics, useful_tokens: found.useful_tokens, rows: found.rows })
    }

    fn evaluate(&mut self, progress: &mut Progress) -> Result<Option<Metrics>> {
        if self.trainer.eval.is_empty() {
            return Ok(None);
        }
        let found = self.kind.evaluate(&self.trainer, progress)?;
        Ok(Some(found.into_iter().map(|(name, value)| (format!("eval_{name}"), value)).collect()))
    }

    fn samples(&mut self, asked: &[usize], max_new_tokens: usize, end_tokens: &[u32]) -> Result<Vec<Sample>> {
        if !self.kind.speaks() {
            return Ok(Vec::new());
        }
        let rows = if self.trainer.eval.is_empty() { &self.trainer.train } else { &self.trainer.eval };
        let rows: Vec<&Family> = one_a_row(rows).collect();
        let prompts = asked.iter().filter_map(|&row| rows.get(row)).map(|family| family.prompt.clone());
        let prompts: Vec<Vec<u32>> = prompts.collect();
        let answers = greedy(self.trainer.decoder(), &prompts, max_new_tokens, end_tokens)?;
        Ok(prompts.into_iter().zip(answers).map(|(prompt, answer)| Sample { prompt, answer }).collect())
    }

    fn sample_steps(&self) -> Option<u64> {
        self.kind.sample_steps()
    }

    fn save_state(&self, dir: &Path) -> Result<()> {
        self.trainer.save_state(dir)?;
        self.kind.save_state(dir)
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        self.trainer.restore(dir)?;
        self.kind.restore(dir)
    }

    fn save_result(&self, dir: &Path) -> Result<()> {
        let trainer = &self.trainer;
        crate::model::result::save(
            trainer.decoder(),
            trainer.models.head.as_ref(),
            trainer.settings.lora.as_ref(),
            &self.policy.base,
            dir,
        )
    }
}
