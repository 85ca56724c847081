//! Direct preference optimisation: pairs against a stored reference.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result, bail};

use super::means::Means;
use super::reference::Reference;
use super::trainer::{Answer, Trainer};
use super::{Kind, Metrics, Progress};
use crate::backend::log_prob::LogProbs;
use crate::data::example::Family;
use crate::model::policy::{ModelInput, open_frozen};
use crate::objective::dpo::{Pair, sigmoid_loss};
use crate::objective::nll::nll;
use crate::plan::settings::{DpoLoss, DpoSettings};

pub struct Dpo {
    settings: DpoSettings,
    /// Another model than the policy as the stage starts.
    reference_model: Option<ModelInput>,
    /// There once the stage is prepared.
    reference: Option<Reference>,
}

/// One pair's answers and what its micro-batch averages over.
struct Scored {
    chosen: Answer,
    rejected: Answer,
    pair: Pair,
    /// Chosen tokens of the micro-batch.
    chosen_tokens: usize,
    /// Pairs of the micro-batch.
    pairs: usize,
}

/// A pair's share of its micro-batch's loss, and ∂ / ∂ log p of each chosen and rejected token.
struct Share {
    loss: f64,
    d_chosen: f64,
    d_rejected: f64,
}

impl Dpo {
    pub fn new(settings: DpoSettings, reference_model: Option<ModelInput>) -> Self {
        Dpo { settings, reference_model, reference: None }
    }

    fn share(&self, scored: &Scored) -> Share {
        let mut share = Share { loss: 0.0, d_chosen: 0.0, d_rejected: 0.0 };
        for &(loss, weight) in &self.settings.losses {
            match loss {
                DpoLoss::Sigmoid => {
                    let part = sigmoid_loss(&scored.pair, self.settings.beta, self.settings.label_smoothing);
                    let weight = weight / scored.pairs as f64;
                    share.loss += weight * part.loss;
                    share.d_chosen += weight * part.d_chosen;
                    share.d_rejected += weight * part.d_rejected;
                }
                DpoLoss::Sft => share.add_nll(scored, weight),
                other => unreachable!("{other:?}"),
            }
        }
        if let Some(alpha) = self.settings.rpo_alpha {
            share.add_nll(scored, alpha);
        }
        share
    }

    fn reference(&self) -> Result<&Reference> {
        self.reference.as_ref().context("the reference's log-probs are computed before the first step")
    }

    fn add(&self, means: &mut Means, micro: usize, scored: &Scored) {
        let Scored { chosen, rejected, pair, .. } = scored;
        let (reward_chosen, reward_rejected) = pair.rewards(self.settings.beta);
        let tokens = |a: &Answer| a.tokens as f64;
        means.add("rewards/chosen", micro, reward_chosen, 1.0);
        means.add("rewards/rejected", micro, reward_rejected, 1.0);
        means.add("rewards/accuracies", micro, f64::from(u8::from(reward_chosen > reward_rejected)), 1.0);
        means.add("rewards/margins", micro, reward_chosen - reward_rejected, 1.0);
        means.add("logps/chosen", micro, chosen.log_prob, 1.0);
        means.add("logps/rejected", micro, rejected.log_prob, 1.0);
        means.add("logits/chosen", micro, chosen.mean_logit, tokens(chosen));
        means.add("logits/rejected", micro, rejected.mean_logit, tokens(rejected));
        means.add("entropy", micro, chosen.entropy + rejected.entropy, tokens(chosen) + tokens(rejected));
        means.add("mean_token_accuracy", micro, chosen.correct, tokens(chosen));
    }
}

impl Share {
    fn add_nll(&mut self, scored: &Scored, weight: f64) {
        let (loss, slope) = nll(scored.chosen.log_prob, scored.chosen_tokens);
        self.loss += weight * loss;
        self.d_chosen += weight * slope;
    }
}

/// The two answers of a pair and its sums.
fn answers(found: &LogProbs, branches: &[Range<usize>]) -> Result<[Answer; 2]> {
    let [chosen, rejected] = branches else { bail!("a pair has {} answers", branches.len()) };
    Ok([Answer::of(found, chosen.clone()), Answer::of(found, rejected.clone())])
}

fn pair_of(chosen: &Answer, rejected: &Answer, [reference_chosen, reference_rejected]: [f64; 2]) -> Pair {
    Pair {
        policy_chosen: chosen.log_prob,
        policy_rejected: rejected.log_prob,
        reference_chosen,
        reference_rejected,
    }
}

/// Trained tokens of a family's chosen answer.
fn chosen_tokens(family: &Family) -> usize {
    family.branches.first().map_or(0, |b| b.trained.iter().filter(|t| **t).count())
}

impl Kind for Dpo {
    fn prepare(&mut self, trainer: &mut Trainer, stage_dir: &Path, progress: &mut Progress) -> Result<()> {
        let other = self.reference_model.as_ref().map(open_frozen).transpose()?;
        let seen = trainer.rows_seen();
        let decoder = other.as_ref().unwrap_or(&trainer.decoder);
        let file = stage_dir.join("reference.safetensors");
        self.reference = Some(Reference::obtain(&file, decoder, trainer, &seen, progress)?);
        Ok(())
    }

    fn gradients(&self, trainer: &Trainer, rows: &[(usize, usize)], micro_batches: usize) -> Result<Metrics> {
        let reference = self.reference()?;
        let families: Vec<&Family> = rows.iter().map(|&(_, row)| &trainer.train[row]).collect();
        let mut totals = vec![(0usize, 0usize); micro_batches];
        for (family, &(micro, _)) in families.iter().zip(rows) {
            totals[micro].0 += 1;
            totals[micro].1 += chosen_tokens(family);
        }
        let mut means = Means::default();
        let mut loss = 0.0;
        for pass in trainer.passes(&families) {
            trainer.train_pass(&families[pass.clone()], |batch, found| {
                let mut coefficients = vec![0.0; batch.targets.len()];
                for (branches, &(micro, row)) in batch.branches.chunks_exact(2).zip(&rows[pass]) {
                    let [chosen, rejected] = answers(found, branches)?;
                    let pair = pair_of(&chosen, &rejected, reference.train_row(row)?);
                    let (pairs, chosen_tokens) = totals[micro];
                    let scored = Scored { chosen, rejected, pair, chosen_tokens, pairs };
                    let share = self.share(&scored);
                    let weight = 1.0 / micro_batches as f64;
                    loss += weight * share.loss;
                    coefficients[branches[0].clone()].fill(weight * share.d_chosen);
                    coefficients[branches[1].clone()].fill(weight * share.d_rejected);
                    self.add(&mut means, micro, &scored);
                }
                Ok(coefficients)
            })?;
        }
        let mut metrics = Metrics::from([("loss".to_string(), loss)]);
        metrics.extend(means.finish());
        Ok(metrics)
    }

    fn evaluate(&self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let reference = self.reference()?;
        let families: Vec<&Family> = trainer.eval.iter().collect();
        let tokens = families.iter().map(|f| chosen_tokens(f)).sum();
        let mut means = Means::default();
        let mut loss = 0.0;
        for pass in trainer.passes(&families) {
            progress(pass.start as u64, families.len() as u64)?;
            let (batch, found) = trainer.log_probs(&trainer.decoder, &families[pass.clone()])?;
            for (branches, row) in batch.branches.chunks_exact(2).zip(pass) {
                let [chosen, rejected] = answers(&found, branches)?;
                let pair = pair_of(&chosen, &rejected, reference.eval_row(row)?);
                let scored = Scored { chosen, rejected, pair, chosen_tokens: tokens, pairs: families.len() };
                loss += self.share(&scored).loss;
                self.add(&mut means, 0, &scored);
            }
        }
        let mut metrics = Metrics::from([("loss".to_string(), loss)]);
        metrics.extend(means.finish());
        Ok(metrics)
    }
}
