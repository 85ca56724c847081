//! Kahneman–Tversky optimisation: answers that are each good or bad, against a stored reference and
//! the KL divergence that the micro-batch's mismatched answers estimate.

use std::path::Path;

use anyhow::{Context, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OfKind;
use super::facts::{Facts, Fields, KeyProblem, Losses, Scored, names_of};
use super::label_balance;
use super::source::{MODEL_SOURCE, Role, Source};
use crate::data::Need;
use crate::data::example::{Example, LabelCounts};
use crate::data::mismatch::ends_alone;
use crate::model::artifact::Artifact;
use crate::objective::kto::{self, KtoLoss, KtoParameters, LabelledAnswer};
use crate::train::means::Means;
use crate::train::metric::{Curves, Metric};
use crate::train::pair_metrics::REWARD_MARGIN;
use crate::train::reference::{self, Reference};
use crate::train::row::{RowLogProbs, Totals};
use crate::train::trainer::Trainer;
use crate::train::{Algorithm, Opening, Progress, TrainingSettings};

/// Keys of `kind = "kto"`; names and defaults are TRL's. Source: KTO (2402.01306).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KtoSettings {
    /// Model that the policy is compared with: `base`, or `stage:NAME` for the result of a stage
    /// before this one. Default: the policy as this stage starts.
    #[schemars(regex(pattern = MODEL_SOURCE))]
    pub reference: Option<Source>,
    #[serde(flatten)]
    pub parameters: KtoParameters,
    /// Whether the rows are pairs, which are taken apart: the chosen answer is a desirable row, the
    /// rejected one an undesirable row. As TRL does, all chosen rows come before all rejected ones.
    pub unpair: bool,
}

impl KtoSettings {
    fn estimates_kl(&self) -> bool {
        self.parameters.loss_type == KtoLoss::Kto
    }
}

const KL: Metric = Metric { curve: Curves::Training("KL estimate"), ..Metric::named("kl") };

impl OfKind for KtoSettings {
    fn name(&self) -> &'static str {
        "kto"
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            keys: Some(Self::json_schema),
            losses: Some(|| Losses { names: names_of::<KtoLoss>(), lists: false, only_in_lists: None }),
            rows: Need::Unpaired { unpair: self.unpair },
            mismatched: self.estimates_kl(),
            sources: self.reference.iter().map(|source| (Role::Reference, source)).collect(),
            has_reference: true,
            scored: if self.estimates_kl() { Scored::WithMismatched } else { Scored::Trained },
            is_compared: self.unpair,
            metrics: &[KL, REWARD_MARGIN],
            ..Facts::default()
        }
    }

    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        let KtoSettings { reference, parameters, unpair } = self;
        let KtoParameters { loss_type, beta, desirable_weight, undesirable_weight } = parameters;
        if let Some(reference) = reference {
            fields.add_source(Role::Reference, reference)?;
        }
        fields.add("beta", beta)?;
        fields.add("loss", loss_type)?;
        fields.add("desirable_weight", desirable_weight)?;
        fields.add("undesirable_weight", undesirable_weight)?;
        fields.add("unpair", unpair)
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Kto::new(self.parameters, opening.reference.take())))
    }

    fn problems(&self, stage: &str, training: &TrainingSettings) -> Vec<KeyProblem> {
        if !self.estimates_kl() || training.batches.batch_size != 1 {
            return Vec::new();
        }
        let message = format!(
            "stage `{stage}` needs two rows or more in a micro-batch: the KL term pairs each prompt with \
             another row's answer"
        );
        let help = "set `batch_size = 2`, and halve `gradient_accumulation_steps`";
        vec![KeyProblem { about: &["batch_size"], ..KeyProblem::new("batch_size", message, help) }]
    }

    fn row_warnings(&self, train: LabelCounts, held_out: LabelCounts, batch_size: usize) -> Vec<String> {
        let balance = label_balance::warning(&self.parameters, train);
        let alone = self.estimates_kl().then(|| alone(train, held_out, batch_size)).flatten();
        balance.into_iter().chain(alone).collect()
    }
}

/// What is to be said where a last micro-batch has one row.
fn alone(train: LabelCounts, held_out: LabelCounts, batch_size: usize) -> Option<String> {
    let parts = [("training", train.rows), ("held-out", held_out.rows)];
    let parts: Vec<String> = parts
        .iter()
        .filter(|(_, rows)| ends_alone(*rows, batch_size))
        .map(|(part, rows)| format!("the last of {rows} {part} rows"))
        .collect();
    (!parts.is_empty()).then(|| {
        format!(
            "{} has a micro-batch of {batch_size} to itself: the KL term takes its own answer for another \
             row's, as TRL does",
            parts.join(" and ")
        )
    })
}

pub(super) struct Kto {
    parameters: KtoParameters,
    /// Another model than the policy as the stage starts.
    reference_model: Option<Artifact>,
    /// There once the stage is prepared.
    reference: Option<Reference>,
}

impl Kto {
    pub(super) fn new(parameters: KtoParameters, reference_model: Option<Artifact>) -> Self {
        Kto { parameters, reference_model, reference: None }
    }

    #[cfg(test)]
    pub(super) fn with_reference(mut self, reference: Reference) -> Self {
        self.reference = Some(reference);
        self
    }

    fn reference(&self, row: &RowLogProbs<'_>) -> Result<&[f64]> {
        let reference = self.reference.as_ref();
        reference
            .context("the reference's log-probs are computed before the first step")?
            .row(row.split, row.row)
    }

    /// Of the second completions, where rows have one.
    fn kl(&self, rows: &[RowLogProbs<'_>]) -> Result<f64> {
        let mismatched = |row: &&RowLogProbs<'_>| row.example.completions.len() > 1;
        let ratio = |row: &RowLogProbs<'_>| Ok((row.completion(1).log_prob, self.reference(row)?[1]));
        let ratios = rows.iter().filter(mismatched).map(ratio).collect::<Result<Vec<_>>>()?;
        Ok(kto::kl(ratios.into_iter()))
    }
}

impl Algorithm for Kto {
    fn is_coupled(&self) -> bool {
        true
    }

    /// The mismatched answer is not trained on.
    fn tokens(&self, example: &Example) -> usize {
        example.prompt.len() + example.completions.first().map_or(0, |completion| completion.tokens.len())
    }

    fn prepare(&mut self, trainer: &mut Trainer, references: &Path, progress: &mut Progress) -> Result<()> {
        let other = self.reference_model.as_ref();
        self.reference = Some(reference::of_stage(trainer, other, None, references, progress)?);
        Ok(())
    }

    fn loss(
        &self,
        micro: usize,
        totals: &Totals,
        rows: &mut [RowLogProbs<'_>],
        means: &mut Means,
    ) -> Result<f64> {
        let kl = self.kl(rows)?;
        means.add(KL.name, micro, kl, 1.0);
        let mut total = 0.0;
        // reward sum and rows of the desirable and the undesirable
        let mut rewards = [(0.0, 0.0); 2];
        for row in rows.iter_mut() {
            let answer = row.completion(0);
            let log_ratio = answer.log_prob - self.reference(row)?[0];
            let desirable = row.example.label.context("a row of a kto stage has a label")?;
            let (loss, d) = kto::loss(&LabelledAnswer { log_ratio, desirable }, kl, &self.parameters);
            let weight = 1.0 / totals.rows as f64;
            total += weight * loss;
            row.add(0, weight * d);
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
            means.add(REWARD_MARGIN.name, micro, desirable - undesirable, 1.0);
        }
        Ok(total)
    }
}
