//! SimPO (2405.14734), eq. 6: `−log σ(β(L̄_w − L̄_l) − γ)` with L̄ the mean log-probability of an
//! answer's tokens and no reference; label smoothing as in [`super::cpo`]. AlphaPO (2501.03884)
//! replaces L̄ by `(1 − e^{−αL̄})/α`.
//!
//! As in TRL (its `CPOTrainer` with `loss_type="simpo"`), except that AlphaPO's exponent is clamped at
//! 80 ([`super::box_cox`]) where TRL gets infinity. TRL adds `cpo_alpha` × NLL, 1 by default, which the
//! paper does not have: the caller's to add.

use super::box_cox::box_cox;
use super::margin;
use super::pair::{Pair, PairLoss};

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameters {
    pub beta: f64,
    /// The target margin γ, in units of reward (already times β).
    pub gamma: f64,
    pub label_smoothing: f64,
    /// AlphaPO's α; `None` (or 0) is SimPO.
    pub alpha: Option<f64>,
}

/// The preference loss of one pair, without the NLL.
pub fn loss(pair: &Pair, parameters: &Parameters) -> PairLoss {
    let &Parameters { beta, gamma, label_smoothing, .. } = parameters;
    let [(chosen, d_w), (rejected, d_l)] = transformed(pair, parameters);
    let (share_w, share_l) = pair.shares();
    let u = beta * (chosen - rejected) - gamma;
    PairLoss::of_margin(margin::logistic(u, label_smoothing), beta * d_w * share_w, -beta * d_l * share_l)
}

/// β times the (transformed) mean log-probability of the chosen and the rejected answer.
pub fn rewards(pair: &Pair, parameters: &Parameters) -> (f64, f64) {
    let [(chosen, _), (rejected, _)] = transformed(pair, parameters);
    (parameters.beta * chosen, parameters.beta * rejected)
}

/// AlphaPO's transform of both means, with its derivatives with respect to the means.
fn transformed(pair: &Pair, parameters: &Parameters) -> [(f64, f64); 2] {
    let (chosen, rejected) = pair.policy_means();
    [chosen, rejected].map(|mean| box_cox(mean, -parameters.alpha.unwrap_or(0.0)))
}
