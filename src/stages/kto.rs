//! Kahneman–Tversky optimisation: answers that are each good or bad, against a stored reference and
//! the KL divergence that the micro-batch's mismatched answers estimate.

use std::path::Path;

use anyhow::{Context, Result};

use super::Progress;
use super::answers::{Objective, Seen, Totals};
use super::means::Means;
use super::reference::Reference;
use super::trainer::Trainer;
use crate::data::example::Family;
use crate::model::policy::{ModelInput, Models};
use crate::objective::kto::{self, Parameters};
use crate::plan::settings::KtoSettings;

pub struct Kto {
    parameters: Parameters,
    /// Another model than the policy as the stage starts.
    reference_model: Option<ModelInput>,
    /// There once the stage is prepared.
    reference: Option<Reference>,
}

impl Kto {
    pub fn new(settings: &KtoSettings, reference_model: Option<ModelInput>) -> Self {
        let parameters = Parameters {
            loss: settings.loss,
            beta: settings.beta,
            desirable_weight: settings.desirable_weight,
            undesirable_weight: settings.undesirable_weight,
        };
        Kto { parameters, reference_model, reference: None }
    }

    #[cfg(test)]
    pub(super) fn with_reference(mut self, reference: Reference) -> Self {
        self.reference = Some(reference);
        self
    }

    fn reference(&self, row: &Seen<'_>) -> Result<&[f64]> {
        let reference = self.reference.as_ref();
        reference
            .context("the reference's log-probs are computed before the first step")?
            .row(row.part, row.row)
    }

    /// Of the second branches, where rows have one.
    fn kl(&self, rows: &[Seen<'_>]) -> Result<f64> {
        let mismatched = |row: &&Seen<'_>| row.family.branches.len() > 1;
        let ratio = |row: &Seen<'_>| Ok((row.answer(1).log_prob, self.reference(row)?[1]));
        let ratios = rows.iter().filter(mismatched).map(ratio).collect::<Result<Vec<_>>>()?;
        Ok(kto::kl(ratios.into_iter()))
    }
}

impl Objective for Kto {
    fn is_coupled(&self) -> bool {
        true
    }

    /// The mismatched answer is not trained on.
    fn tokens(&self, family: &Family) -> usize {
        family.prompt.len() + family.branches.first().map_or(0, |branch| branch.tokens.len())
    }

    fn prepare(&mut self, trainer: &mut Trainer, references: &Path, progress: &mut Progress) -> Result<()> {
        let place = trainer.decoder().place();
        let other =
            self.reference_model.as_ref().map(|input| Models::at(&place).frozen(input)).transpose()?;
        let seen = trainer.rows_seen();
        let decoder = other.as_ref().unwrap_or(trainer.decoder());
        let rows = (seen.as_slice(), trainer.train.as_slice(), trainer.eval.as_slice());
        self.reference =
            Some(Reference::obtain(references, decoder, trainer.packaging, rows, None, progress)?);
        Ok(())
    }

    fn share(&self, micro: usize, totals: &Totals, rows: &mut [Seen<'_>], means: &mut Means) -> Result<f64> {
        let kl = self.kl(rows)?;
        means.add("kl", micro, kl, 1.0);
        let mut total = 0.0;
        // reward sum and rows of the desirable and the undesirable
        let mut rewards = [(0.0, 0.0); 2];
        for row in rows.iter_mut() {
            let answer = row.answer(0);
            let log_ratio = answer.log_prob - self.reference(row)?[0];
            let desirable = row.family.label.context("a row of a kto stage has a label")?;
            let (loss, slope) = kto::loss(&kto::Row { log_ratio, desirable }, kl, &self.parameters);
            let weight = 1.0 / totals.rows as f64;
            total += weight * loss;
            row.add_slope(0, weight * slope);
            let reward = self.parameters.beta * log_ratio;
            let side = &mut rewards[usize::from(!desirable)];
            *side = (side.0 + reward, side.1 + 1.0);
            let names = match desirable {
                true => ["rewards/chosen", "logps/chosen", "logits/chosen"],
                false => ["rewards/rejected", "logps/rejected", "logits/rejected"],
            };
            means.add(names[0], micro, reward, 1.0);
            means.add(names[1], micro, answer.log_prob, 1.0);
            means.add(names[2], micro, answer.mean_logit, answer.tokens as f64);
            means.add("entropy", micro, answer.entropy, answer.tokens as f64);
        }
        if rewards.iter().all(|(_, rows)| *rows > 0.0) {
            let [desirable, undesirable] = rewards.map(|(sum, rows)| sum / rows);
            means.add("rewards/margins", micro, desirable - undesirable, 1.0);
        }
        Ok(total)
    }
}
