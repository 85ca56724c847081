//! What the other modules must know of ppo's settings.

use anyhow::{Context, Result};
use schemars::JsonSchema;

use super::metrics::METRICS;
use super::settings::PpoSettings;
use super::state::{Ppo, Scorers};
use crate::data::Need;
use crate::kinds::OfKind;
use crate::kinds::facts::{Facts, Fields, IdleKey, KeyProblem, Rates, Rollouts, Trains};
use crate::kinds::source::Role;
use crate::model::pooling;
use crate::model::value_head::{TrainedPart, ValueHead};
use crate::train::trainer::Critic;
use crate::train::{Algorithm, Opening, TrainingSettings};

impl OfKind for PpoSettings {
    fn name(&self) -> &'static str {
        "ppo"
    }

    fn facts(&self) -> Facts<'_> {
        let reward = self.reward.iter().map(|source| (Role::Reward, source));
        let reference = self.reference.iter().map(|source| (Role::Reference, source));
        Facts {
            learning_rate: Rates { full: 3e-6, lora: 5e-5 },
            // 2: scores of classifiers are read before padding.
            numerics: 2,
            keys: Some(Self::json_schema),
            rows: Need::Prompt,
            trains: Trains::PolicyAndValue,
            sources: reward.chain(reference).collect(),
            has_reference: true,
            rollouts: Some(Rollouts {
                response_length: self.response_length,
                at_once: self.local_rollout_forward_batch_size,
                passes: self.num_ppo_epochs,
                steps_per_pass: self.num_mini_batches,
                episodes: self.episodes(),
            }),
            is_compared: false,
            metrics: METRICS,
            ..Facts::default()
        }
    }

    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        let PpoSettings {
            reward,
            reference,
            kl_coef,
            kl_estimator,
            cliprange,
            vf_coef,
            cliprange_value,
            gamma,
            lam,
            whiten_rewards,
            num_ppo_epochs,
            num_mini_batches,
            local_rollout_forward_batch_size: _, // memory and speed
            response_length,
            temperature,
            top_k,
            top_p,
            missing_eos_penalty,
            total_episodes,
            num_sample_generations: _, // only what is reported
        } = self;
        for (role, source) in [(Role::Reward, reward), (Role::Reference, reference)] {
            if let Some(source) = source {
                fields.add_source(role, source)?;
            }
        }
        fields.add("kl_coef", kl_coef)?;
        fields.add("kl_estimator", kl_estimator)?;
        fields.add("cliprange", cliprange)?;
        fields.add("vf_coef", vf_coef)?;
        fields.add("cliprange_value", cliprange_value)?;
        fields.add("gamma", gamma)?;
        fields.add("lam", lam)?;
        fields.add("whiten_rewards", whiten_rewards)?;
        fields.add("num_ppo_epochs", num_ppo_epochs)?;
        fields.add("num_mini_batches", num_mini_batches)?;
        fields.add("response_length", response_length)?;
        fields.add("temperature", temperature)?;
        fields.add("top_k", top_k)?;
        fields.add("top_p", top_p)?;
        fields.add("missing_eos_penalty", missing_eos_penalty.filter(|penalty| *penalty > 0.0))?;
        fields.add("total_episodes", total_episodes)
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        let Opening { policy, training, compute, opened, models, reference, reward, .. } = opening;
        let device = &compute.device;
        let reward = reward.as_ref().context("a ppo stage has a reward model")?;
        let head = reward.head.as_ref();
        let head = head.with_context(|| format!("`{}` has no value head", reward.base.display()))?;
        let decoder = opened.frozen(reward)?;
        let width = decoder.config.hidden_size;
        let valued = opened.continued(reward, &training.tuner, training.seed)?;
        models.critic = Some(Critic {
            decoder: valued.without_lm_head(),
            head: ValueHead::read(head, width, TrainedPart::WeightAndBias, device)?,
        });
        let reference = opened.frozen(reference.as_ref().unwrap_or(policy))?;
        let mut head = ValueHead::read(head, width, TrainedPart::Nothing, device)?;
        head.passed_over = pooling::passed_over(reward, &decoder.config)?;
        let reward = Critic { decoder, head };
        // dropout would make the ratio of a token's probabilities noise
        opening.may_drop = false;
        opening.temperature = self.temperature;
        Ok(Box::new(Ppo::new(self.clone(), Scorers { reference, reward }, opening)))
    }

    fn problems(&self, _: &str, training: &TrainingSettings) -> Vec<KeyProblem> {
        let mut problems = Vec::new();
        let prompts = training.batches.rows_in_window();
        let mini_batches = self.num_mini_batches;
        if !prompts.is_multiple_of(mini_batches) {
            let message =
                format!("{mini_batches} mini-batches do not divide the {prompts} prompts of an update");
            let help = format!(
                "an update has `batch_size` × `gradient_accumulation_steps` = {} × {} prompts",
                training.batches.batch_size, training.batches.gradient_accumulation_steps
            );
            problems.push(KeyProblem {
                about: &["num_mini_batches", "batch_size", "gradient_accumulation_steps"],
                ..KeyProblem::new("num_mini_batches", message, help)
            });
        }
        let (response, max_length) = (self.response_length, training.max_length);
        if response >= max_length {
            let message = format!(
                "a response of `response_length` {response} leaves no room for a prompt in `max_length` {max_length}"
            );
            problems.push(KeyProblem {
                about: &["response_length", "max_length"],
                ..KeyProblem::new(
                    "response_length",
                    message,
                    "make `response_length` smaller or `max_length` larger",
                )
            });
        }
        problems
    }

    fn idle(&self, training: &TrainingSettings) -> Vec<IdleKey> {
        let drops = IdleKey { key: "lora/dropout", otherwise: "in a ppo stage" };
        training.tuner.is_adapter().then_some(drops).into_iter().collect()
    }
}
