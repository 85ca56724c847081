//! SimPO (2405.14734), eq. 6: `−log σ(β(L̄_w − L̄_l) − γ)` with L̄ the mean log-probability of an
//! answer's tokens and no reference; label smoothing as in [`super::cpo`]. AlphaPO (2501.03884)
//! replaces L̄ by `(1 − e^{−αL̄})/α`.
//!
//! As in TRL (its `CPOTrainer` with `loss_type="simpo"`), except that AlphaPO's exponent is clamped at
//! 80 ([`super::box_cox`]) where TRL gets infinity. TRL adds `cpo_alpha` × NLL, 1 by default, which the
//! paper does not have: the caller's to add.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::box_cox::box_cox;
use super::margin;
use super::pair::{Pair, PairLoss};

/// Keys of a simpo stage; names are TRL's, defaults ms-swift's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct SimpoParameters {
    /// Scale of the margin between the answers' log-probs.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub beta: f64,
    /// Margin by which the chosen answer's reward is to exceed the rejected one's, the paper's γ, already
    /// times β.
    #[schemars(range(min = 0.0))]
    pub simpo_gamma: f64,
    /// Share of pairs assumed to be labelled the wrong way round.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 0.5))]
    pub label_smoothing: f64,
    /// AlphaPO's α: a mean log-prob L counts as `(1 − exp(−αL))/α`; 0 turns it off.
    pub alpha: f64,
}

impl Default for SimpoParameters {
    fn default() -> Self {
        SimpoParameters { beta: 2.0, simpo_gamma: 1.0, label_smoothing: 0.0, alpha: 0.0 }
    }
}

/// The preference loss of one pair, without the NLL.
pub fn loss(pair: &Pair, parameters: &SimpoParameters) -> PairLoss {
    let &SimpoParameters { beta, simpo_gamma: gamma, label_smoothing, .. } = parameters;
    let [(chosen, d_w), (rejected, d_l)] = transformed(pair, parameters);
    let (share_w, share_l) = pair.shares();
    let u = beta * (chosen - rejected) - gamma;
    PairLoss::of_margin(margin::logistic(u, label_smoothing), beta * d_w * share_w, -beta * d_l * share_l)
}

/// β times the (transformed) mean log-probability of the chosen and the rejected answer.
pub fn rewards(pair: &Pair, parameters: &SimpoParameters) -> (f64, f64) {
    let [(chosen, _), (rejected, _)] = transformed(pair, parameters);
    (parameters.beta * chosen, parameters.beta * rejected)
}

/// AlphaPO's transform of both means, with its derivatives with respect to the means.
fn transformed(pair: &Pair, parameters: &SimpoParameters) -> [(f64, f64); 2] {
    let (chosen, rejected) = pair.policy_means();
    [chosen, rejected].map(|mean| box_cox(mean, -parameters.alpha))
}
