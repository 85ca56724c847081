//! Direct preference optimisation and its variants: pairs against a stored reference.

use std::path::Path;

use anyhow::{Context, Result, bail};

use super::Progress;
use super::answers::{Objective, Seen, Totals};
use super::means::Means;
use super::pair_metrics::PairSeen;
use super::reference::{Reference, shared_tokens};
use super::trainer::Trainer;
use crate::model::policy::{ModelInput, Models};
use crate::objective::dpo::{Parameters, is_coupled, losses};
use crate::objective::nll::nll;
use crate::objective::pair::Pair;
use crate::plan::settings::{DpoLoss, DpoSettings};

pub struct Dpo {
    settings: DpoSettings,
    parameters: Parameters,
    /// Another model than the policy as the stage starts.
    reference_model: Option<ModelInput>,
    /// There once the stage is prepared.
    reference: Option<Reference>,
}

/// One pair of the micro-batch.
struct Scored {
    seen: PairSeen,
    pair: Pair,
    /// WPO's weight; 1 without it.
    weight: f64,
}

impl Dpo {
    pub fn new(settings: DpoSettings, reference_model: Option<ModelInput>) -> Self {
        let parameters = Parameters {
            beta: settings.beta,
            label_smoothing: settings.label_smoothing,
            f_divergence: settings.f_divergence,
            discopop_tau: settings.discopop_tau.unwrap_or(DISCOPOP_TAU),
        };
        Dpo { settings, parameters, reference_model, reference: None }
    }

    #[cfg(test)]
    pub(super) fn with_reference(mut self, reference: Reference) -> Self {
        self.reference = Some(reference);
        self
    }

    fn scored(&self, row: &Seen<'_>) -> Result<Scored> {
        let reference = self.reference.as_ref();
        let reference = reference.context("the reference's log-probs are computed before the first step")?;
        let &[reference_chosen, reference_rejected] = reference.row(row.part, row.row)? else {
            bail!("a pair has two answers")
        };
        let (chosen, rejected) = (row.answer(0), row.answer(1));
        let sums = [0, 1].map(|branch| self.sum(row, branch));
        let pair = Pair {
            policy_chosen: sums[0],
            policy_rejected: sums[1],
            reference_chosen,
            reference_rejected,
            chosen_tokens: chosen.tokens as f64,
            rejected_tokens: rejected.tokens as f64,
        };
        let weight = match self.settings.use_weighting {
            Some(true) => [&chosen, &rejected].iter().map(|a| (a.aligned / a.tokens as f64).exp()).product(),
            _ => 1.0,
        };
        let rewards = pair.rewards(self.settings.beta);
        let seen = PairSeen { chosen, rejected, rewards, log_probs: (sums[0], sums[1]) };
        Ok(Scored { seen, pair, weight })
    }

    fn sft_weight(&self) -> f64 {
        self.settings.losses.iter().filter(|(loss, _)| *loss == DpoLoss::Sft).map(|(_, weight)| weight).sum()
    }

    /// Summed log-probability of an answer; LD-DPO weighs its tokens past the shorter one's length.
    fn sum(&self, row: &Seen<'_>, branch: usize) -> f64 {
        let log_probs = row.log_probs(branch);
        match self.settings.ld_alpha {
            None => log_probs.iter().sum(),
            Some(alpha) => {
                let (first, rest) = log_probs.split_at(shared_tokens(row.family).min(log_probs.len()));
                first.iter().sum::<f64>() + alpha * rest.iter().sum::<f64>()
            }
        }
    }

    /// Adds ∂ loss / ∂ (that sum).
    fn add_slope(&self, row: &mut Seen<'_>, branch: usize, slope: f64) {
        row.add_slope(branch, slope);
        if let Some(alpha) = self.settings.ld_alpha {
            row.add_slope_from(branch, shared_tokens(row.family), (alpha - 1.0) * slope);
        }
    }
}

/// Of TRL.
const DISCOPOP_TAU: f64 = 0.05;

impl Objective for Dpo {
    fn is_coupled(&self) -> bool {
        // WPO weighs the NLL by the micro-batch's mean weight
        let weighs_nll = self.settings.use_weighting == Some(true) && self.sft_weight() != 0.0;
        weighs_nll || self.settings.losses.iter().any(|(loss, _)| is_coupled(*loss))
    }

    fn prepare(&mut self, trainer: &mut Trainer, references: &Path, progress: &mut Progress) -> Result<()> {
        let place = trainer.decoder().place();
        let other =
            self.reference_model.as_ref().map(|input| Models::at(&place).frozen(input)).transpose()?;
        let seen = trainer.rows_seen();
        let decoder = other.as_ref().unwrap_or(trainer.decoder());
        let rows = (seen.as_slice(), trainer.train.as_slice(), trainer.eval.as_slice());
        let alpha = self.settings.ld_alpha;
        self.reference =
            Some(Reference::obtain(references, decoder, trainer.packaging, rows, alpha, progress)?);
        Ok(())
    }

    fn share(&self, micro: usize, totals: &Totals, rows: &mut [Seen<'_>], means: &mut Means) -> Result<f64> {
        let scored = rows.iter().map(|row| self.scored(row)).collect::<Result<Vec<Scored>>>()?;
        let pairs: Vec<Pair> = scored.iter().map(|scored| scored.pair).collect();
        let mut total = 0.0;
        for &(loss, weight) in &self.settings.losses {
            for ((row, scored), part) in
                rows.iter_mut().zip(&scored).zip(losses(loss, &pairs, &self.parameters))
            {
                let weight = weight * scored.weight / totals.rows as f64;
                total += weight * part.loss;
                self.add_slope(row, 0, weight * part.d_chosen);
                self.add_slope(row, 1, weight * part.d_rejected);
            }
        }
        // every pair's weight is 1 without WPO
        let mean_weight = scored.iter().map(|scored| scored.weight).sum::<f64>() / scored.len().max(1) as f64;
        let nll_weight = self.sft_weight() * mean_weight + self.settings.rpo_alpha.unwrap_or(0.0);
        for (row, scored) in rows.iter_mut().zip(&scored) {
            if nll_weight != 0.0 {
                let (loss, slope) = nll(scored.seen.chosen.log_prob, totals.chosen_tokens);
                total += nll_weight * loss;
                row.add_slope(0, nll_weight * slope);
            }
            scored.seen.add(means, micro);
        }
        Ok(total)
    }
}
