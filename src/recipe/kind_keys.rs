//! Keys of `[[stage]]` that not every kind has.
//!
//! A key that several kinds have stands once, in [`SharedKeys`]; each kind's file says which of
//! those it has, with what default.

use schemars::JsonSchema;
use serde::Deserialize;

use super::dpo::DpoKeys;
use super::kto::KtoKeys;
use super::loss_type::LossTypes;
use super::orpo::OrpoKeys;
use super::ppo::PpoKeys;
use super::rm::RmKeys;
use super::simpo::SimpoKeys;

/// `base` or `stage:NAME`.
pub const MODEL_SOURCE: &str = "^(base|stage:.+)$";

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct KindKeys {
    #[serde(flatten)]
    pub shared: SharedKeys,
    #[serde(flatten)]
    pub rm: RmKeys,
    #[serde(flatten)]
    pub ppo: PpoKeys,
    #[serde(flatten)]
    pub dpo: DpoKeys,
    #[serde(flatten)]
    pub kto: KtoKeys,
    #[serde(flatten)]
    pub orpo: OrpoKeys,
    #[serde(flatten)]
    pub simpo: SimpoKeys,
}

/// Keys of more than one kind.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct SharedKeys {
    /// Model that the policy is compared with: `base`, or `stage:NAME` for the result of a stage
    /// before this one. Default: the policy as this stage starts.
    #[schemars(regex(pattern = MODEL_SOURCE))]
    pub reference: Option<String>,
    /// dpo, kto: how firmly the policy is held to the reference: the larger, the closer. cpo, simpo:
    /// scale of the margin between the answers' log-probs. orpo: weight of the odds ratio, the
    /// paper's λ. Default: simpo 2, the others 0.1.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub beta: Option<f64>,
    /// The loss; dpo also takes a list of losses that are added with `loss_weights`. Default: kto
    /// `kto`, dpo and cpo `sigmoid`.
    pub loss_type: Option<LossTypes>,
    /// Share of pairs assumed to be labelled the wrong way round. Default: 0.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 0.5))]
    pub label_smoothing: Option<f64>,
    /// Weight of the negative log-likelihood of the chosen answers, averaged over their tokens; 0
    /// turns it off. Default: 1.
    #[schemars(range(min = 0.0))]
    pub cpo_alpha: Option<f64>,
}
