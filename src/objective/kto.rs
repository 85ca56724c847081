//! KTO (2402.01306): with `r = L_π − L_ρ`, a desirable row costs `λ_D (1 − σ(β(r − kl)))` and an
//! undesirable one `λ_U (1 − σ(β(kl − r)))`. `kl` estimates the policy's divergence from the reference
//! on completions of other rows, clamped at 0 and without gradient. `apo_zero_unpaired`
//! (APO, 2408.06266, eq. 7): the same with kl = 0.
//!
//! As in TRL on one process (with more, TRL averages kl over all of them).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sigmoid::{sigmoid, sigmoid_slope};

/// One row's completion.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LabelledAnswer {
    /// L_π − L_ρ of the summed log-probabilities, nats.
    pub log_ratio: f64,
    pub desirable: bool,
}

/// Keys of a kto stage; names and defaults are TRL's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct KtoParameters {
    pub loss_type: KtoLoss,
    /// How firmly the policy is held to the reference: the larger, the closer.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub beta: f64,
    /// Weight of desirable answers, the paper's λ_D.
    #[schemars(range(min = 0.0))]
    pub desirable_weight: f64,
    /// Weight of undesirable answers, the paper's λ_U.
    #[schemars(range(min = 0.0))]
    pub undesirable_weight: f64,
}

impl Default for KtoParameters {
    fn default() -> Self {
        KtoParameters { loss_type: KtoLoss::Kto, beta: 0.1, desirable_weight: 1.0, undesirable_weight: 1.0 }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KtoLoss {
    /// The loss of the KTO paper.
    Kto,
    /// `apo_zero` on single answers, without the KL term.
    ApoZeroUnpaired,
}

/// `max(0, mean(L_π − L_ρ))` over the mismatched completions of a micro-batch, given as (policy,
/// reference) sums in nats; 0 for none.
pub fn kl(policy_and_reference: impl Iterator<Item = (f64, f64)>) -> f64 {
    let (sum, count) = policy_and_reference
        .fold((0.0, 0.0), |(sum, count), (policy, reference)| (sum + policy - reference, count + 1.0_f64));
    (sum / count.max(1.0)).clamp(0.0, f64::INFINITY)
}

/// Loss of one row, and its derivative with respect to the policy's summed log-probability.
pub fn loss(row: &LabelledAnswer, kl: f64, parameters: &KtoParameters) -> (f64, f64) {
    let kl = match parameters.loss_type {
        KtoLoss::Kto => kl,
        KtoLoss::ApoZeroUnpaired => 0.0,
    };
    let beta = parameters.beta;
    let u = beta * (row.log_ratio - kl);
    let slope = beta * sigmoid_slope(u);
    if row.desirable {
        let weight = parameters.desirable_weight;
        (weight * sigmoid(-u), -weight * slope)
    } else {
        let weight = parameters.undesirable_weight;
        (weight * sigmoid(u), weight * slope)
    }
}
