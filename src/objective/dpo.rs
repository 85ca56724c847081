//! DPO (2305.18290), eq. 7: `−log σ(βΔ)` with `Δ = (L_π,w − L_ρ,w) − (L_π,l − L_ρ,l)`; with label
//! smoothing ε (conservative DPO): `−(1−ε) log σ(βΔ) − ε log σ(−βΔ)`. As in TRL; no reduction here:
//! the mean over the micro-batch is the caller's.

use super::{log_sigmoid, sigmoid};

/// Summed log-probabilities of one pair's answers, nats.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    pub policy_chosen: f64,
    pub policy_rejected: f64,
    pub reference_chosen: f64,
    pub reference_rejected: f64,
}

/// Loss of one pair and its gradient with respect to the policy's summed log-probabilities.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairLoss {
    pub loss: f64,
    pub d_chosen: f64,
    pub d_rejected: f64,
}

impl Pair {
    /// β (L_π − L_ρ) of the chosen and the rejected answer.
    pub fn rewards(&self, beta: f64) -> (f64, f64) {
        let chosen = self.policy_chosen - self.reference_chosen;
        let rejected = self.policy_rejected - self.reference_rejected;
        (beta * chosen, beta * rejected)
    }
}

/// The sigmoid loss of one pair.
pub fn sigmoid_loss(pair: &Pair, beta: f64, label_smoothing: f64) -> PairLoss {
    let (chosen, rejected) = pair.rewards(beta);
    let margin = chosen - rejected;
    let (keep, flip) = (1.0 - label_smoothing, label_smoothing);
    let slope = beta * (flip * sigmoid(margin) - keep * sigmoid(-margin));
    PairLoss {
        loss: -keep * log_sigmoid(margin) - flip * log_sigmoid(-margin),
        d_chosen: slope,
        d_rejected: -slope,
    }
}
