//! Reward models (InstructGPT, 2203.02155): a score a sequence, trained so that chosen answers score
//! higher than rejected ones.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

use super::batch::Ask;
use super::means::Means;
use super::trainer::Trainer;
use super::{Gradients, Kind, Metrics, Progress};
use crate::data::example::Family;
use crate::model::value_head::ValueHead;
use crate::objective::reward::loss;
use crate::plan::settings::RmSettings;

pub struct Rm {
    pub settings: RmSettings,
}

/// Scores of the pairs of a step or an evaluation.
#[derive(Default)]
struct Tally {
    means: Means,
    /// Smallest and largest score of each micro-batch.
    extremes: BTreeMap<usize, (f64, f64)>,
    loss: f64,
}

impl Tally {
    /// Takes in one pair; returns ∂ loss / ∂ score of both answers. `weight`: the pair's share.
    fn add(&mut self, micro: usize, family: &Family, scores: [f64; 2], centre: f64, weight: f64) -> [f64; 2] {
        let [chosen, rejected] = scores;
        let part = loss(chosen, rejected, family.margin.unwrap_or(0.0), centre);
        self.loss += weight * part.loss;
        self.means.add("accuracy", micro, f64::from(u8::from(chosen > rejected)), 1.0);
        self.means.add("margin", micro, chosen - rejected, 1.0);
        self.means.add("mean_reward", micro, chosen + rejected, 2.0);
        let (least, most) = self.extremes.entry(micro).or_insert((f64::INFINITY, f64::NEG_INFINITY));
        *least = least.min(chosen).min(rejected);
        *most = most.max(chosen).max(rejected);
        [weight * part.d_chosen, weight * part.d_rejected]
    }

    fn finish(self) -> Metrics {
        let mut metrics = Metrics::from([("loss".to_string(), self.loss)]);
        metrics.extend(self.means.finish());
        let groups = self.extremes.len().max(1) as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| self.extremes.values().map(of).sum::<f64>() / groups;
        metrics.insert("min_reward".to_string(), mean(|extremes| extremes.0));
        metrics.insert("max_reward".to_string(), mean(|extremes| extremes.1));
        metrics
    }
}

fn head(trainer: &Trainer) -> Result<&ValueHead> {
    trainer.models.head.as_ref().context("a reward model has a head")
}

fn pair(scores: &[f64]) -> Result<[f64; 2]> {
    match scores {
        &[chosen, rejected] => Ok([chosen, rejected]),
        _ => bail!("a pair has two answers"),
    }
}

impl Kind for Rm {
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, _: &mut Progress) -> Result<Gradients> {
        let step = trainer.window_rows(step);
        let trainer = &*trainer;
        let families: Vec<&Family> = step.rows.iter().map(|&(_, row)| &trainer.train[row]).collect();
        let mut pairs = vec![0usize; step.micro_batches];
        step.rows.iter().for_each(|&(micro, _)| pairs[micro] += 1);
        let centre = self.settings.center_rewards_coefficient;
        let mut tally = Tally::default();
        let head = head(trainer)?;
        let ask = Ask::Ends(head.passed_over);
        for pass in trainer.packaging.passes(&families) {
            let families = &families[pass.clone()];
            trainer.train_scores(trainer.decoder(), head, families, ask, |_, scores| {
                let mut slopes = Vec::with_capacity(scores.len());
                for ((scores, family), &(micro, _)) in scores.chunks(2).zip(families).zip(&step.rows[pass]) {
                    let weight = 1.0 / (pairs[micro] * step.micro_batches) as f64;
                    slopes.extend(tally.add(micro, family, pair(scores)?, centre, weight));
                }
                Ok(slopes)
            })?;
        }
        Ok(Gradients::of(tally.finish(), &families))
    }

    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let families: Vec<&Family> = trainer.eval.iter().collect();
        let centre = self.settings.center_rewards_coefficient;
        let weight = 1.0 / families.len() as f64;
        let head = head(trainer)?;
        let ask = Ask::Ends(head.passed_over);
        let mut tally = Tally::default();
        for pass in trainer.packaging.passes(&families) {
            progress(pass.start as u64, families.len() as u64)?;
            let families = &families[pass];
            let (_, scores) = trainer.packaging.scores(trainer.decoder(), head, families, ask)?;
            for (scores, family) in scores.chunks(2).zip(families) {
                tally.add(0, family, pair(scores)?, centre, weight);
            }
        }
        Ok(tally.finish())
    }

    fn speaks(&self) -> bool {
        false
    }
}
