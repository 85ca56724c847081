//! CPO (2401.08417), eq. 3, without a reference: `−(1−ε) log σ(u) − ε log σ(−u)` with
//! `u = β(L_w − L_l)` and ε = `label_smoothing`; `hinge`: `max(0, 1 − u)`; `ipo`:
//! `(L̄_w − L̄_l − 1/(2β))²` on means over tokens. The paper's behaviour-cloning term is
//! `cpo_alpha` × [`super::nll`], the caller's to add. As in TRL.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::margin;
use super::pair::{Pair, PairLoss};

/// Keys of a cpo stage; names and defaults are TRL's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct CpoParameters {
    pub loss_type: CpoLoss,
    /// Scale of the margin between the answers' log-probs.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub beta: f64,
    /// Share of pairs assumed to be labelled the wrong way round.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 0.5))]
    pub label_smoothing: f64,
}

impl Default for CpoParameters {
    fn default() -> Self {
        CpoParameters { loss_type: CpoLoss::Sigmoid, beta: 0.1, label_smoothing: 0.0 }
    }
}

/// Δ is how much more the policy favours the chosen answer, in nats: there is no reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CpoLoss {
    /// `−log σ(βΔ)`, the loss of the CPO paper.
    Sigmoid,
    /// `max(0, 1 − βΔ)` (SLiC, 2305.10425).
    Hinge,
    /// Squared distance of the margin per token to `1/(2β)` (IPO, 2310.12036).
    Ipo,
}

/// The preference loss of one pair, without the NLL.
pub fn loss(pair: &Pair, parameters: &CpoParameters) -> PairLoss {
    let &CpoParameters { loss_type, beta, label_smoothing } = parameters;
    let u = beta * (pair.policy_chosen - pair.policy_rejected);
    match loss_type {
        CpoLoss::Sigmoid => PairLoss::of_margin(margin::logistic(u, label_smoothing), beta, -beta),
        CpoLoss::Hinge => PairLoss::of_margin(margin::hinge(u), beta, -beta),
        CpoLoss::Ipo => {
            let (chosen, rejected) = pair.policy_means();
            let (share_w, share_l) = pair.shares();
            PairLoss::of_margin(margin::squared(chosen - rejected, 0.5 / beta), share_w, -share_l)
        }
    }
}

/// βL of the chosen and the rejected answer; βL̄ for `ipo`.
pub fn rewards(pair: &Pair, parameters: &CpoParameters) -> (f64, f64) {
    let (chosen, rejected) = log_probs(pair, parameters);
    (parameters.beta * chosen, parameters.beta * rejected)
}

/// What the loss compares: L of the chosen and the rejected answer; L̄ for `ipo`.
pub fn log_probs(pair: &Pair, parameters: &CpoParameters) -> (f64, f64) {
    match parameters.loss_type {
        CpoLoss::Ipo => pair.policy_means(),
        CpoLoss::Sigmoid | CpoLoss::Hinge => (pair.policy_chosen, pair.policy_rejected),
    }
}
