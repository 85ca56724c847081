//! CPO (2401.08417), eq. 3, without a reference: `−(1−ε) log σ(u) − ε log σ(−u)` with
//! `u = β(L_w − L_l)` and ε = `label_smoothing`; `hinge`: `max(0, 1 − u)`; `ipo`:
//! `(L̄_w − L̄_l − 1/(2β))²` on means over tokens. The paper's behaviour-cloning term is
//! `cpo_alpha` × [`super::nll`], the caller's to add. As in TRL.

use super::margin;
use super::pair::{Pair, PairLoss};
use crate::plan::settings::CpoLoss;

/// The preference loss of one pair, without the NLL. `beta` above 0.
pub fn loss(loss: CpoLoss, pair: &Pair, beta: f64, label_smoothing: f64) -> PairLoss {
    let u = beta * (pair.policy_chosen - pair.policy_rejected);
    match loss {
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
pub fn rewards(loss: CpoLoss, pair: &Pair, beta: f64) -> (f64, f64) {
    let (chosen, rejected) = match loss {
        CpoLoss::Ipo => pair.policy_means(),
        CpoLoss::Sigmoid | CpoLoss::Hinge => (pair.policy_chosen, pair.policy_rejected),
    };
    (beta * chosen, beta * rejected)
}
