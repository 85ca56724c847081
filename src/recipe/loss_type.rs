//! `loss_type`: the losses of all kinds that have a choice of them. Which are a kind's own,
//! [`LossName::of_kind`] says.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::stage::Kind;

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum LossTypes {
    One(LossName),
    Many(#[schemars(length(min = 1), extend("uniqueItems" = true))] Vec<LossName>),
}

impl LossTypes {
    pub fn names(&self) -> &[LossName] {
        match self {
            LossTypes::One(name) => std::slice::from_ref(name),
            LossTypes::Many(names) => names,
        }
    }
}

/// Δ is how much more the policy than the reference favours the chosen answer, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LossName {
    /// dpo, cpo: `−log σ(βΔ)`, the loss of the DPO paper; cpo's Δ has no reference.
    Sigmoid,
    /// dpo, cpo: `max(0, 1 − βΔ)` (SLiC, 2305.10425).
    Hinge,
    /// dpo, cpo: squared distance of the margin a token to `1/(2β)` (IPO, 2310.12036).
    Ipo,
    /// dpo: reverse KL to the smoothed preference (EXO, 2402.00856); needs `label_smoothing`.
    ExoPair,
    /// dpo: each answer against chance, so that the chosen one stays likely (NCA, 2402.05369).
    NcaPair,
    /// dpo: sigmoid, unbiased where `label_smoothing` is the share of wrong labels (2403.00409).
    Robust,
    /// dpo: each answer classified by itself (BCO, 2404.04656).
    BcoPair,
    /// dpo: each answer's reward drawn to ±1/2 (SPPO, 2405.00675).
    SppoHard,
    /// dpo: pairs sorted over the micro-batch, as distributions (AOT, 2406.05882).
    Aot,
    /// dpo: as `aot`, chosen and rejected answers sorted each by themselves.
    AotUnpaired,
    /// dpo: raises the chosen answer and lowers the rejected one (APO, 2408.06266).
    ApoZero,
    /// dpo: lowers both, the rejected one more (APO, 2408.06266).
    ApoDown,
    /// dpo: a loss that a language model found (DiscoPOP, 2406.08414); see `discopop_tau`.
    Discopop,
    /// dpo: sigmoid on the margin a token.
    SigmoidNorm,
    /// dpo, in a list: negative log-likelihood of the chosen answers, averaged over their tokens.
    Sft,
    /// kto: the loss of the KTO paper.
    Kto,
    /// kto: `apo_zero` on single answers, without the KL term.
    ApoZeroUnpaired,
}

impl LossName {
    const DPO: [LossName; 15] = [
        LossName::Sigmoid,
        LossName::Hinge,
        LossName::Ipo,
        LossName::ExoPair,
        LossName::NcaPair,
        LossName::Robust,
        LossName::BcoPair,
        LossName::SppoHard,
        LossName::Aot,
        LossName::AotUnpaired,
        LossName::ApoZero,
        LossName::ApoDown,
        LossName::Discopop,
        LossName::SigmoidNorm,
        LossName::Sft,
    ];

    /// The losses that a kind has; empty for kinds without `loss_type`.
    pub fn of_kind(kind: Kind) -> &'static [LossName] {
        match kind {
            Kind::Dpo => &Self::DPO,
            Kind::Kto => &[LossName::Kto, LossName::ApoZeroUnpaired],
            Kind::Cpo => &[LossName::Sigmoid, LossName::Hinge, LossName::Ipo],
            Kind::Sft | Kind::Rm | Kind::Ppo | Kind::Orpo | Kind::Simpo => &[],
        }
    }

    /// As a recipe writes it.
    pub fn name(self) -> String {
        match serde_json::to_value(self) {
            Ok(serde_json::Value::String(name)) => name,
            _ => String::new(),
        }
    }
}
