//! Reward models (InstructGPT, 2203.02155): one score per sequence, trained so that chosen answers score
//! higher than rejected ones.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OfKind;
use super::facts::{Facts, Fields, Rates, Scored, Trains};
use crate::batch::TargetTokens;
use crate::data::Longer;
use crate::data::example::Example;
use crate::model::pooling;
use crate::model::value_head::{HeadFormat, TrainedPart, ValueHead};
use crate::objective::reward::loss;
use crate::train::means::Means;
use crate::train::metric::{Column, Curves, LOSS, Metric};
use crate::train::trainer::Trainer;
use crate::train::{Algorithm, Gradients, Metrics, Opening, Progress};

/// Keys of `kind = "rm"`; names and defaults are TRL's. Source: InstructGPT, section 3.5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RmSettings {
    /// Weight of the squared sum of a pair's scores, which keeps scores around 0 (2312.09244); 0
    /// turns it off.
    #[schemars(range(min = 0.0))]
    pub center_rewards_coefficient: f64,
    /// Whether the value head's bias is trained; without, it stays 0. The head of a sequence classifier
    /// (`score.weight`) has none: there it is always 0.
    pub head_bias: bool,
}

impl Default for RmSettings {
    fn default() -> Self {
        RmSettings { center_rewards_coefficient: 0.0, head_bias: true }
    }
}

/// Share of pairs whose chosen answer has the higher score.
const ACCURACY: Metric = Metric {
    curve: Curves::Both("accuracy"),
    console: true,
    column: Column::Titled("reward accuracy"),
    ..Metric::named("accuracy")
};
const MARGIN: Metric = Metric {
    curve: Curves::Training("margin of scores"),
    console: true,
    column: Column::Titled("reward margin"),
    ..Metric::named("margin")
};

impl OfKind for RmSettings {
    fn name(&self) -> &'static str {
        "rm"
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            learning_rate: Rates { full: 1e-4, lora: 1e-4 },
            // 2: scores of classifiers are read before padding.
            numerics: 2,
            keys: Some(Self::json_schema),
            // A score is that of a whole answer.
            longer: Longer::Drop,
            trains: Trains::RewardModel { head_bias: self.head_bias },
            scored: Scored::Nothing,
            is_compared: false,
            metrics: &[ACCURACY, MARGIN],
            ..Facts::default()
        }
    }

    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        let RmSettings { center_rewards_coefficient, head_bias } = self;
        fields.add("center_rewards_coefficient", center_rewards_coefficient)?;
        fields.add("head_bias", head_bias)
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        let Opening { policy, training, compute, models, .. } = opening;
        models.decoder = models.decoder.clone().with_frozen_lm_head();
        let config = &models.decoder.config;
        // a classifier's head has no place for a bias
        let (adapter, head) = (policy.adapter.as_deref(), policy.head.as_deref());
        let is_classifier = pooling::is_classifier(config, adapter, head)?;
        let part = match self.head_bias && !is_classifier {
            true => TrainedPart::WeightAndBias,
            false => TrainedPart::Weight,
        };
        let mut head = match head {
            Some(head) => ValueHead::read(head, config.hidden_size, part, &compute.device)?,
            None => {
                let range = config.initializer_range;
                ValueHead::new(config.hidden_size, range, training.seed, part, &compute.device)?
            }
        };
        if is_classifier {
            head.format = HeadFormat::Classifier;
        }
        head.passed_over = pooling::passed_over(policy, config)?;
        models.head = Some(head);
        Ok(Box::new(Rm { settings: self.clone() }))
    }
}

struct Rm {
    settings: RmSettings,
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
    fn add(
        &mut self,
        micro: usize,
        example: &Example,
        scores: [f64; 2],
        centre: f64,
        weight: f64,
    ) -> [f64; 2] {
        let [chosen, rejected] = scores;
        let part = loss(chosen, rejected, example.margin.unwrap_or(0.0), centre);
        self.loss += weight * part.loss;
        self.means.add(ACCURACY.name, micro, f64::from(u8::from(chosen > rejected)), 1.0);
        self.means.add(MARGIN.name, micro, chosen - rejected, 1.0);
        self.means.add("mean_reward", micro, chosen + rejected, 2.0);
        let (least, most) = self.extremes.entry(micro).or_insert((f64::INFINITY, f64::NEG_INFINITY));
        *least = least.min(chosen).min(rejected);
        *most = most.max(chosen).max(rejected);
        [weight * part.d_chosen, weight * part.d_rejected]
    }

    fn finish(self) -> Metrics {
        let mut metrics = Metrics::from([(LOSS.name.to_string(), self.loss)]);
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

impl Algorithm for Rm {
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, _: &mut Progress) -> Result<Gradients> {
        let step = trainer.window_rows(step);
        let trainer = &*trainer;
        let examples: Vec<&Example> = step.rows.iter().map(|&(_, row)| &trainer.train[row]).collect();
        let mut pairs = vec![0usize; step.micro_batches];
        step.rows.iter().for_each(|&(micro, _)| pairs[micro] += 1);
        let centre = self.settings.center_rewards_coefficient;
        let mut tally = Tally::default();
        let head = head(trainer)?;
        let wanted = TargetTokens::LastTokens(head.passed_over);
        for pass in trainer.batches.passes(&examples) {
            let examples = &examples[pass.clone()];
            trainer.train_scores(trainer.decoder(), head, examples, wanted, |_, scores| {
                let mut d_scores = Vec::with_capacity(scores.len());
                for ((scores, example), &(micro, _)) in scores.chunks(2).zip(examples).zip(&step.rows[pass]) {
                    let weight = 1.0 / (pairs[micro] * step.micro_batches) as f64;
                    d_scores.extend(tally.add(micro, example, pair(scores)?, centre, weight));
                }
                Ok(d_scores)
            })?;
        }
        Ok(Gradients::of(tally.finish(), &examples))
    }

    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let examples: Vec<&Example> = trainer.eval.iter().collect();
        let centre = self.settings.center_rewards_coefficient;
        let weight = 1.0 / examples.len() as f64;
        let head = head(trainer)?;
        let wanted = TargetTokens::LastTokens(head.passed_over);
        let mut tally = Tally::default();
        for pass in trainer.batches.passes(&examples) {
            progress(pass.start as u64, examples.len() as u64)?;
            let examples = &examples[pass];
            let (_, scores) = trainer.batches.scores(trainer.decoder(), head, examples, wanted)?;
            for (scores, example) in scores.chunks(2).zip(examples) {
                tally.add(0, example, pair(scores)?, centre, weight);
            }
        }
        Ok(tally.finish())
    }

    fn generates(&self) -> bool {
        false
    }
}
