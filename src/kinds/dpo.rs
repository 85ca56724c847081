//! Direct preference optimisation and its variants: pairs against a stored reference.

use std::path::Path;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::OfKind;
use super::facts::{Facts, Fields, IdleKey, KeyProblem, Losses, names_of};
use super::source::{MODEL_SOURCE, Role, Source};
use crate::model::artifact::Artifact;
use crate::objective::dpo::{DpoLoss, DpoParameters, WITH_F_DIVERGENCE, losses};
use crate::objective::f_divergence::FDivergence;
use crate::objective::nll::nll;
use crate::objective::pair::Pair;
use crate::train::means::Means;
use crate::train::pair_metrics::ScoredPair;
use crate::train::reference::{self, Reference, shared_tokens};
use crate::train::row::{RowLogProbs, Totals};
use crate::train::trainer::Trainer;
use crate::train::{Algorithm, Opening, Progress, TrainingSettings};

/// Keys of `kind = "dpo"`; names and defaults are TRL's. Source: DPO (2305.18290).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct DpoSettings {
    /// Model that the policy is compared with: `base`, or `stage:NAME` for the result of a stage
    /// before this one. Default: the policy as this stage starts.
    #[schemars(regex(pattern = MODEL_SOURCE))]
    pub reference: Option<Source>,
    #[serde(flatten)]
    pub parameters: DpoParameters,
    /// The loss, or a list of losses that are added with `loss_weights`.
    pub loss_type: DpoLosses,
    /// Weight of each loss of `loss_type`. Default: 1 each.
    #[schemars(length(min = 1))]
    pub loss_weights: Option<Vec<f64>>,
    /// Adds this times the negative log-likelihood of the chosen answers, averaged over their
    /// tokens (2404.19733). Default: off.
    #[schemars(range(min = 0.0))]
    pub rpo_alpha: Option<f64>,
    /// Weight of the longer answer's tokens past the length of the shorter one (LD-DPO, 2409.06411).
    /// Default: 1, the same as of all tokens.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub ld_alpha: Option<f64>,
    /// Weighs each pair by how likely the policy itself is to give its answers (WPO, 2406.11827).
    pub use_weighting: bool,
}

/// One loss, or several that are added.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum DpoLosses {
    One(DpoLoss),
    Many(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<DpoLoss>),
}

impl Default for DpoLosses {
    fn default() -> Self {
        DpoLosses::One(DpoLoss::Sigmoid)
    }
}

impl DpoLosses {
    pub fn names(&self) -> &[DpoLoss] {
        match self {
            DpoLosses::One(loss) => std::slice::from_ref(loss),
            DpoLosses::Many(losses) => losses,
        }
    }
}

impl DpoSettings {
    /// Losses and their weights.
    pub fn losses(&self) -> Vec<(DpoLoss, f64)> {
        let names = self.loss_type.names();
        let weights = self.loss_weights.clone().unwrap_or_else(|| vec![1.0; names.len()]);
        names.iter().copied().zip(weights).collect()
    }

    /// `None` where all tokens weigh the same.
    fn ld_alpha(&self) -> Option<f64> {
        self.ld_alpha.filter(|alpha| *alpha < 1.0)
    }
}

/// A loss as a recipe writes it.
fn name(loss: &DpoLoss) -> String {
    serde_json::to_value(loss).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

impl OfKind for DpoSettings {
    fn name(&self) -> &'static str {
        "dpo"
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            keys: Some(Self::json_schema),
            losses: Some(|| Losses { names: names_of::<DpoLoss>(), lists: true, only_in_lists: Some("sft") }),
            sources: self.reference.iter().map(|source| (Role::Reference, source)).collect(),
            has_reference: true,
            ..Facts::default()
        }
    }

    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        let DpoSettings {
            reference,
            parameters,
            loss_type: _,
            loss_weights: _,
            rpo_alpha,
            ld_alpha: _,
            use_weighting,
        } = self;
        let &DpoParameters { beta, label_smoothing, f_divergence, f_alpha_divergence_coef, discopop_tau } =
            parameters;
        if let Some(reference) = reference {
            fields.add_source(Role::Reference, reference)?;
        }
        fields.add("beta", beta)?;
        fields.add("losses", self.losses())?;
        fields.add("rpo_alpha", rpo_alpha.filter(|alpha| *alpha > 0.0))?;
        fields.add("label_smoothing", label_smoothing)?;
        match f_divergence {
            FDivergence::ReverseKl => {}
            FDivergence::AlphaDivergence => {
                fields.add("f_divergence.alpha_divergence", f_alpha_divergence_coef)?;
            }
            other => fields.add("f_divergence", other)?,
        }
        fields.add("ld_alpha", self.ld_alpha())?;
        fields.add("use_weighting", use_weighting.then_some(true))?;
        let mixes = self.loss_type.names().contains(&DpoLoss::Discopop);
        fields.add("discopop_tau", mixes.then_some(discopop_tau))
    }

    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Dpo::new(self.clone(), opening.reference.take())))
    }

    fn problems(&self, _: &str, _: &TrainingSettings) -> Vec<KeyProblem> {
        let losses = self.loss_type.names();
        if losses == [DpoLoss::Sft] {
            return vec![KeyProblem::new(
                "loss_type",
                "`sft` alone compares no answers",
                "write `kind = \"sft\"`, or add another loss",
            )];
        }
        let mut problems = Vec::new();
        if let Some(weights) = &self.loss_weights
            && weights.len() != losses.len()
        {
            problems.push(KeyProblem::new(
                "loss_weights",
                format!("`loss_weights` has length {}, and `loss_type` {}", weights.len(), losses.len()),
                "give each loss its weight",
            ));
        }
        if losses.contains(&DpoLoss::ExoPair) && self.parameters.label_smoothing == 0.0 {
            problems.push(KeyProblem {
                related: Some(("loss_type", "the loss")),
                about: &["label_smoothing"],
                ..KeyProblem::new(
                    "label_smoothing",
                    "`exo_pair` needs a `label_smoothing` above 0",
                    "its paper takes `label_smoothing = 1e-3`",
                )
            });
        }
        if self.parameters.f_divergence != FDivergence::ReverseKl
            && let Some(loss) = losses.iter().find(|loss| !WITH_F_DIVERGENCE.contains(loss))
        {
            let with = WITH_F_DIVERGENCE.each_ref().map(|loss| format!("`{}`", name(loss)));
            problems.push(KeyProblem::new(
                "f_divergence",
                format!("`f_divergence` has no meaning for the loss `{}`", name(loss)),
                format!("losses that it has one for: {}", with.join(", ")),
            ));
        }
        if self.parameters.f_alpha_divergence_coef == 1.0 {
            problems.push(KeyProblem::new(
                "f_alpha_divergence_coef",
                "an α of 1 is the reverse KL divergence, which this formula cannot be",
                "write `f_divergence = \"reverse_kl\"`",
            ));
        }
        if self.use_weighting
            && let Some(loss) = losses.iter().find(|loss| loss.is_sorted())
        {
            problems.push(KeyProblem::new(
                "use_weighting",
                format!("`{}` sorts answers, so there are no pairs to weigh", name(loss)),
                "take `use_weighting` out",
            ));
        }
        problems
    }

    fn idle(&self, _: &TrainingSettings) -> Vec<IdleKey> {
        let losses = self.loss_type.names();
        let idle = [
            (
                !losses.iter().any(|loss| loss.is_smoothed()),
                IdleKey { key: "label_smoothing", otherwise: "with this `loss_type`" },
            ),
            (
                !losses.contains(&DpoLoss::Discopop),
                IdleKey { key: "discopop_tau", otherwise: "without `loss_type = \"discopop\"`" },
            ),
            (
                self.parameters.f_divergence != FDivergence::AlphaDivergence,
                IdleKey {
                    key: "f_alpha_divergence_coef",
                    otherwise: "without `f_divergence = \"alpha_divergence\"`",
                },
            ),
        ];
        idle.into_iter().filter(|(is_idle, _)| *is_idle).map(|(_, key)| key).collect()
    }
}

pub(super) struct Dpo {
    settings: DpoSettings,
    losses: Vec<(DpoLoss, f64)>,
    /// Another model than the policy as the stage starts.
    reference_model: Option<Artifact>,
    /// There once the stage is prepared.
    reference: Option<Reference>,
}

/// One pair of the micro-batch.
struct WeightedPair {
    told: ScoredPair,
    pair: Pair,
    /// WPO's weight; 1 without it.
    weight: f64,
}

impl Dpo {
    pub(super) fn new(settings: DpoSettings, reference_model: Option<Artifact>) -> Self {
        Dpo { losses: settings.losses(), settings, reference_model, reference: None }
    }

    #[cfg(test)]
    pub(super) fn with_reference(mut self, reference: Reference) -> Self {
        self.reference = Some(reference);
        self
    }

    fn scored(&self, row: &RowLogProbs<'_>) -> Result<WeightedPair> {
        let reference = self.reference.as_ref();
        let reference = reference.context("the reference's log-probs are computed before the first step")?;
        let &[reference_chosen, reference_rejected] = reference.row(row.split, row.row)? else {
            bail!("a pair has two answers")
        };
        let (chosen, rejected) = (row.completion(0), row.completion(1));
        let sums = [0, 1].map(|completion| self.sum(row, completion));
        let pair = Pair {
            policy_chosen: sums[0],
            policy_rejected: sums[1],
            reference_chosen,
            reference_rejected,
            chosen_tokens: chosen.tokens as f64,
            rejected_tokens: rejected.tokens as f64,
        };
        let weight = match self.settings.use_weighting {
            true => [&chosen, &rejected].iter().map(|a| (a.aligned / a.tokens as f64).exp()).product(),
            false => 1.0,
        };
        let rewards = pair.rewards(self.settings.parameters.beta);
        let told = ScoredPair { chosen, rejected, rewards, log_probs: (sums[0], sums[1]) };
        Ok(WeightedPair { told, pair, weight })
    }

    fn sft_weight(&self) -> f64 {
        self.losses.iter().filter(|(loss, _)| *loss == DpoLoss::Sft).map(|(_, weight)| weight).sum()
    }

    /// Summed log-probability of an answer; LD-DPO weighs its tokens past the shorter one's length.
    fn sum(&self, row: &RowLogProbs<'_>, completion: usize) -> f64 {
        let log_probs = row.log_probs(completion);
        match self.settings.ld_alpha() {
            None => log_probs.iter().sum(),
            Some(alpha) => {
                let (first, rest) = log_probs.split_at(shared_tokens(row.example).min(log_probs.len()));
                first.iter().sum::<f64>() + alpha * rest.iter().sum::<f64>()
            }
        }
    }

    /// Adds ∂ loss / ∂ (that sum).
    fn add(&self, row: &mut RowLogProbs<'_>, completion: usize, d: f64) {
        row.add(completion, d);
        if let Some(alpha) = self.settings.ld_alpha() {
            row.add_from(completion, shared_tokens(row.example), (alpha - 1.0) * d);
        }
    }
}

impl Algorithm for Dpo {
    fn is_coupled(&self) -> bool {
        // WPO weighs the NLL by the micro-batch's mean weight
        let weighs_nll = self.settings.use_weighting && self.sft_weight() != 0.0;
        weighs_nll || self.losses.iter().any(|(loss, _)| loss.is_sorted())
    }

    fn prepare(&mut self, trainer: &mut Trainer, references: &Path, progress: &mut Progress) -> Result<()> {
        let (other, alpha) = (self.reference_model.as_ref(), self.settings.ld_alpha());
        self.reference = Some(reference::of_stage(trainer, other, alpha, references, progress)?);
        Ok(())
    }

    fn loss(
        &self,
        micro: usize,
        totals: &Totals,
        rows: &mut [RowLogProbs<'_>],
        means: &mut Means,
    ) -> Result<f64> {
        let scored = rows.iter().map(|row| self.scored(row)).collect::<Result<Vec<WeightedPair>>>()?;
        let pairs: Vec<Pair> = scored.iter().map(|scored| scored.pair).collect();
        let mut total = 0.0;
        for &(loss, weight) in &self.losses {
            for ((row, scored), part) in
                rows.iter_mut().zip(&scored).zip(losses(loss, &pairs, &self.settings.parameters))
            {
                let weight = weight * scored.weight / totals.rows as f64;
                total += weight * part.loss;
                self.add(row, 0, weight * part.d_chosen);
                self.add(row, 1, weight * part.d_rejected);
            }
        }
        // every pair's weight is 1 without WPO
        let mean_weight = scored.iter().map(|scored| scored.weight).sum::<f64>() / scored.len().max(1) as f64;
        let nll_weight = self.sft_weight() * mean_weight + self.settings.rpo_alpha.unwrap_or(0.0);
        for (row, scored) in rows.iter_mut().zip(&scored) {
            if nll_weight != 0.0 {
                let (loss, d) = nll(scored.told.chosen.log_prob, totals.chosen_tokens);
                total += nll_weight * loss;
                row.add(0, nll_weight * d);
            }
            scored.told.add(means, micro);
        }
        Ok(total)
    }
}
