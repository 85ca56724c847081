//! Keys that only `kind = "dpo"` has. Source: DPO (2305.18290); names and defaults are TRL's.

use schemars::JsonSchema;
use serde::Deserialize;

use super::stage::MODEL_SOURCE;

pub const BETA: f64 = 0.1;
pub const LABEL_SMOOTHING: f64 = 0.0;
/// Learning rates, full and with LoRA.
pub const LEARNING_RATE: (f64, f64) = (1e-6, 5e-5);

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct DpoKeys {
    /// Model that the policy is compared with: `base`, or `stage:NAME` for the result of a stage
    /// before this one. Default: the policy as this stage starts.
    #[schemars(regex(pattern = MODEL_SOURCE))]
    pub reference: Option<String>,
    /// How firmly the policy is held to the reference: the larger, the closer.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = BETA))]
    pub beta: Option<f64>,
    /// The loss, or a list of losses that are added with `loss_weights`.
    #[schemars(extend("default" = "sigmoid"))]
    pub loss_type: Option<LossTypes>,
    /// Weight of each loss of `loss_type`. Default: 1 each.
    #[schemars(length(min = 1))]
    pub loss_weights: Option<Vec<f64>>,
    /// Adds this times the negative log-likelihood of the chosen answers, averaged over their
    /// tokens (2404.19733). Default: off.
    #[schemars(range(min = 0.0))]
    pub rpo_alpha: Option<f64>,
    /// Share of pairs assumed to be labelled the wrong way round.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 0.5, "default" = LABEL_SMOOTHING))]
    pub label_smoothing: Option<f64>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LossTypes {
    One(PreferenceLoss),
    Many(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<LossName>),
}

/// A loss that can stand alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreferenceLoss {
    /// `−log σ(βΔ)`, the loss of the paper.
    Sigmoid,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossName {
    /// `−log σ(βΔ)`, the loss of the paper.
    Sigmoid,
    /// Negative log-likelihood of the chosen answers, averaged over their tokens.
    Sft,
}
