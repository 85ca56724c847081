//! An optimiser step of ppo: one mini-batch of an update's responses.

use std::path::Path;

use anyhow::{Context, Result};

use super::response::Response;
use super::settings::PpoSettings;
use super::state::Ppo;
use crate::batch::{Batch, TargetTokens};
use crate::data::example::Example;
use crate::objective::ppo::{policy_loss, value_loss};
use crate::train::metric::LOSS;
use crate::train::trainer::{Critic, Trainer};
use crate::train::{Algorithm, Gradients, Metrics, Progress};

/// Where a checkpoint keeps the rollout that its next step continues.
const ROLLOUT: &str = "rollout.json";

/// Joins what `of` finds in each response.
fn joined(responses: &[&Response], of: fn(&Response) -> &[f64]) -> Vec<f64> {
    responses.iter().flat_map(|response| of(response)).copied().collect()
}

/// Goes over the mini-batch in passes. `derivatives` makes ∂ loss / ∂ number of a pass from its first token's
/// index and the pass's numbers, one per token; returns the numbers of all tokens.
fn in_passes(
    trainer: &Trainer,
    examples: &[&Example],
    mut pass: impl FnMut(&[&Example], &mut dyn FnMut(&Batch, &[f64]) -> Vec<f64>) -> Result<()>,
    mut derivatives: impl FnMut(usize, &[f64]) -> Vec<f64>,
) -> Result<Vec<f64>> {
    let mut all = Vec::new();
    for range in trainer.batches.passes(examples) {
        pass(&examples[range], &mut |_, numbers| {
            let first = all.len();
            all.extend(numbers);
            derivatives(first, numbers)
        })?;
    }
    Ok(all)
}

impl Algorithm for Ppo {
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, progress: &mut Progress) -> Result<Gradients> {
        let (update, inner) = (step / self.updates.steps_per_update, step % self.updates.steps_per_update);
        if self.rollout.as_ref().is_none_or(|rollout| rollout.update != update) {
            let rows = trainer.window_rows(update).rows.into_iter().map(|(_, row)| row).collect();
            let rollout = self.roll_out(trainer, update, rows, progress)?;
            self.rollout = Some(rollout);
        }
        let rollout = self.rollout.as_ref().context("a rollout comes before its steps")?;
        let chosen = self.mini_batch(update, inner, rollout.responses.len());
        let responses: Vec<&Response> = chosen.iter().map(|&index| &rollout.responses[index]).collect();
        let examples: Vec<Example> =
            responses.iter().map(|r| r.example(&trainer.train[r.row].prompt)).collect();
        let examples: Vec<&Example> = examples.iter().collect();
        let trainer = &*trainer;

        let PpoSettings { cliprange, cliprange_value, vf_coef, .. } = self.settings;
        let (old, advantages) = (joined(&responses, |r| &r.log_probs), joined(&responses, |r| &r.advantages));
        let share = |tokens: usize| tokens as f64 / old.len() as f64;
        let mut entropy = 0.0;
        let new = in_passes(
            trainer,
            &examples,
            |examples, derivatives| {
                trainer.train_pass(examples, TargetTokens::Completions, |batch, found| {
                    entropy += found.entropy.iter().sum::<f64>();
                    Ok(derivatives(batch, &found.log_prob))
                })
            },
            |first, new| {
                let own = first..first + new.len();
                let part = policy_loss(new, &old[own.clone()], &advantages[own], cliprange);
                part.d_log_probs.into_iter().map(|d| share(new.len()) * d).collect()
            },
        )?;
        let policy = policy_loss(&new, &old, &advantages, cliprange);

        let critic = trainer.models.critic.as_ref().context("a ppo stage has a value model")?;
        let (old_values, returns) = (joined(&responses, |r| &r.values), joined(&responses, |r| &r.returns));
        let values = in_passes(
            trainer,
            &examples,
            |examples, derivatives| {
                let Critic { decoder, head } = critic;
                trainer.train_scores(decoder, head, examples, TargetTokens::Completions, |batch, values| {
                    Ok(derivatives(batch, values))
                })
            },
            |first, values| {
                let own = first..first + values.len();
                let part = value_loss(values, &old_values[own.clone()], &returns[own], cliprange_value);
                part.d_values.into_iter().map(|d| vf_coef * share(values.len()) * d).collect()
            },
        )?;
        let value = value_loss(&values, &old_values, &returns, cliprange_value);

        let mut metrics = Metrics::new();
        let mut add = |name: &str, value: f64| metrics.insert(name.to_string(), value);
        add(LOSS.name, policy.loss + vf_coef * value.loss);
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
            ..Gradients::of(metrics, &examples)
        })
    }

    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        self.evaluate_held_out(trainer, progress)
    }

    fn sample_steps(&self) -> Option<u64> {
        self.updates.sample_steps
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
