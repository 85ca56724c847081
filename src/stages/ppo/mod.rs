//! PPO (1707.06347, 2203.02155): the policy answers prompts, a reward model scores the answers, and
//! policy and value model take several steps on them. An optimiser step is one mini-batch; an update is
//! a rollout and the steps on it.
//!
//! As in TRL's `PPOTrainer` (1.12, the last that had it), with these differences:
//!
//! | | here | TRL |
//! |---|---|---|
//! | sampling | a response ends at an end token, or after `response_length` tokens (512; TRL 53) | all tokens are sampled; with `stop_token` they are cut afterwards |
//! | score | added at the response's last token | one slot later, where padding follows |
//! | what is scored | a response that ended, and what the template writes after its end token, as the reward model saw answers | the response |
//! | losses | means over the tokens of a whole mini-batch | means of micro-batches' means |
//! | learning rate | falls with every optimiser step | falls with every update |
//! | gradients | clipped to `max_grad_norm`, 1 by default, policy and value model together | not clipped |
//! | value model under LoRA | an adapter on the reward model, and its head | trained whole |
//! | value head | weight and bias | weight |
//! | reference under LoRA | the policy as the stage starts, with the adapter that it starts from | the base without an adapter |
//! | last update of an epoch | used, however short | dropped where rows are left over |
//! | `policy/entropy_avg`, `policy/approxkl_avg`, `val/ratio` | over tokens of responses | over padding too |
//! | `val/ratio_var` | over tokens | over the means of mini-batches |
//!
//! TRL's `eps` (episodes a second) is left out, because metrics hold no times, and its `lr` is
//! `learning_rate`.

mod evaluation;
mod rollout;
mod shape;
mod variety;

use std::path::Path;

use anyhow::{Context, Result};

use self::rollout::{Response, Rollout};
use self::shape::Shape;
use super::batch::{Ask, Batch};
use super::trainer::{Critic, Trainer};
use super::{Gradients, Kind, Metrics, Progress};
use crate::random::{Purpose, Stream};
use crate::data::example::Family;
use crate::model::decoder::Decoder;
use crate::objective::ppo::{policy_loss, value_loss};
use crate::plan::settings::{PpoSettings, StageSettings};

/// Where a checkpoint keeps the rollout that its next step continues.
const ROLLOUT: &str = "rollout.json";

/// The models that a ppo stage asks and does not train.
pub struct Judges {
    pub reference: Decoder,
    pub reward: Critic,
}

pub struct Ppo {
    settings: PpoSettings,
    shape: Shape,
    judges: Judges,
    /// Tokens that end a response, and what the template writes after one.
    end_tokens: Vec<u32>,
    closing: Vec<u32>,
    stream: Stream,
    /// Of the update under way.
    rollout: Option<Rollout>,
}

impl Ppo {
    pub fn new(
        stage: &StageSettings,
        settings: &PpoSettings,
        rows: usize,
        judges: Judges,
        end_tokens: Vec<u32>,
        closing: Vec<u32>,
    ) -> Self {
        Ppo {
            shape: Shape::of(stage, settings, rows),
            settings: settings.clone(),
            judges,
            end_tokens,
            closing,
            stream: Stream::new(stage.training.seed, Purpose::Rollout).name(&stage.name),
            rollout: None,
        }
    }

    /// The responses of a mini-batch: a permutation an epoch, cut into equal parts.
    fn mini_batch(&self, update: u64, inner: u64, responses: usize) -> Vec<usize> {
        let parts = self.settings.num_mini_batches as u64;
        let (epoch, part) = (inner / parts, (inner % parts) as usize);
        let order = self.stream.name("mini-batches").key(update).key(epoch).permutation(responses);
        let bound = |part: usize| part * responses / parts as usize;
        match bound(part)..bound(part + 1) {
            // the short last update of an epoch may have fewer responses than mini-batches
            empty if empty.is_empty() => vec![order[part % responses]],
            own => order[own].to_vec(),
        }
    }
}

/// Joins what `of` finds in each response.
fn joined(responses: &[&Response], of: fn(&Response) -> &[f64]) -> Vec<f64> {
    responses.iter().flat_map(|response| of(response)).copied().collect()
}

/// Goes over the mini-batch in passes. `slopes` makes those of a pass of its first token's index and
/// the pass's numbers, one a token; returns the numbers of all tokens.
fn in_passes(
    trainer: &Trainer,
    families: &[&Family],
    mut pass: impl FnMut(&[&Family], &mut dyn FnMut(&Batch, &[f64]) -> Vec<f64>) -> Result<()>,
    mut slopes: impl FnMut(usize, &[f64]) -> Vec<f64>,
) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for range in trainer.packaging.passes(families) {
        pass(&families[range], &mut |_, numbers| {
            let first = all.len();
            all.extend(numbers);
            slopes(first, numbers)
        })?;
    }
    Ok(all)
}

impl Kind for Ppo {
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, progress: &mut Progress) -> Result<Gradients> {
        let (update, inner) = (step / self.shape.steps_per_update, step % self.shape.steps_per_update);
        if self.rollout.as_ref().is_none_or(|rollout| rollout.update != update) {
            let rows = trainer.window_rows(update).rows.into_iter().map(|(_, row)| row).collect();
            let rollout = self.roll_out(trainer, update, rows, progress)?;
            self.rollout = Some(rollout);
        }
        let rollout = self.rollout.as_ref().context("a rollout comes before its steps")?;
        let chosen = self.mini_batch(update, inner, rollout.responses.len());
        let responses: Vec<&Response> = chosen.iter().map(|&index| &rollout.responses[index]).collect();
        let families: Vec<Family> =
            responses.iter().map(|r| r.family(&trainer.train[r.row].prompt)).collect();
        let families: Vec<&Family> = families.iter().collect();
        let trainer = &*trainer;

        let PpoSettings { cliprange, cliprange_value, vf_coef, .. } = self.settings;
        let (old, advantages) = (joined(&responses, |r| &r.log_probs), joined(&responses, |r| &r.advantages));
        let share = |tokens: usize| tokens as f64 / old.len() as f64;
        let mut entropy = 0.0;
        let new = in_passes(
            trainer,
            &families,
            |families, slopes| {
                trainer.train_pass(families, Ask::Answers, |batch, found| {
                    entropy += found.entropy.iter().sum::<f64>();
                    Ok(slopes(batch, &found.log_prob))
                })
            },
            |first, new| {
                let own = first..first + new.len();
                let part = policy_loss(new, &old[own.clone()], &advantages[own], cliprange);
                part.d_log_probs.into_iter().map(|slope| share(new.len()) * slope).collect()
            },
        )?;
        let policy = policy_loss(&new, &old, &advantages, cliprange);

        let critic = trainer.models.critic.as_ref().context("a ppo stage has a value model")?;
        let (old_values, returns) = (joined(&responses, |r| &r.values), joined(&responses, |r| &r.returns));
        let values = in_passes(
            trainer,
            &families,
            |families, slopes| {
                let Critic { decoder, head } = critic;
                trainer.train_scores(decoder, head, families, Ask::Answers, |batch, values| {
                    Ok(slopes(batch, values))
                })
            },
            |first, values| {
                let own = first..first + values.len();
                let part = value_loss(values, &old_values[own.clone()], &returns[own], cliprange_value);
                part.d_values.into_iter().map(|slope| vf_coef * share(values.len()) * slope).collect()
            },
        )?;
        let value = value_loss(&values, &old_values, &returns, cliprange_value);

        let mut metrics = Metrics::new();
        let mut add = |name: &str, value: f64| metrics.insert(name.to_string(), value);
        add("loss", policy.loss + vf_coef * value.loss);
        add("loss/policy_avg", policy.loss);
        add("loss/value_avg", value.loss);
        add("policy/approxkl_avg", policy.approxkl);
        add("policy/clipfrac_avg", policy.clipfrac);
        add("policy/entropy_avg", entropy / old.len() as f64);
        add("val/clipfrac_avg", value.clipfrac);
        add("val/ratio", policy.ratio_mean);
        add("val/ratio_var", policy.ratio_variance);
        metrics.extend(rollout.metrics.clone());
        Ok(Gradients {
            rows: if inner == 0 { rollout.responses.len() as u64 } else { 0 },
            ..Gradients::of(metrics, &families)
        })
    }

    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        self.evaluate_held_out(trainer, progress)
    }

    fn sample_steps(&self) -> Option<u64> {
        self.shape.sample_steps
    }

    fn save_state(&self, dir: &Path) -> Result<()> {
        let Some(rollout) = &self.rollout else { return Ok(()) };
        let path = dir.join(ROLLOUT);
        std::fs::write(&path, serde_json::to_vec(rollout)?)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    fn restore(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join(ROLLOUT);
        if !path.exists() {
            return Ok(());
        }
        let text = std::fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let rollout = serde_json::from_slice(&text)
            .with_context(|| format!("`{}` is not a rollout", path.display()))?;
        self.rollout = Some(rollout);
        Ok(())
    }
}
