//! One pair of answers as the preference objectives see it.

/// Summed log-probabilities of a pair's answers, nats, and the tokens they are summed over. The
/// reference's stay 0 where an objective has none.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pair {
    pub policy_chosen: f64,
    pub policy_rejected: f64,
    pub reference_chosen: f64,
    pub reference_rejected: f64,
    pub chosen_tokens: f64,
    pub rejected_tokens: f64,
}

/// Loss of one pair and its gradient with respect to the policy's summed log-probabilities (of a
/// reward model: with respect to the scores).
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PairLoss {
    pub loss: f64,
    pub d_chosen: f64,
    pub d_rejected: f64,
}

impl Pair {
    /// r = L_π − L_ρ of the chosen and the rejected answer.
    pub fn log_ratios(&self) -> (f64, f64) {
        (self.policy_chosen - self.reference_chosen, self.policy_rejected - self.reference_rejected)
    }

    /// β (L_π − L_ρ) of the chosen and the rejected answer.
    pub fn rewards(&self, beta: f64) -> (f64, f64) {
        let (chosen, rejected) = self.log_ratios();
        (beta * chosen, beta * rejected)
    }

    /// What one token of the chosen and of the rejected answer weighs in a mean. An answer without
    /// tokens counts as one, as in TRL.
    pub fn shares(&self) -> (f64, f64) {
        (1.0 / self.chosen_tokens.max(1.0), 1.0 / self.rejected_tokens.max(1.0))
    }

    /// L̄_π, the mean log-probability of a token, of the chosen and the rejected answer.
    pub fn policy_means(&self) -> (f64, f64) {
        let (chosen, rejected) = self.shares();
        (self.policy_chosen * chosen, self.policy_rejected * rejected)
    }
}

impl PairLoss {
    /// The chain rule for a loss of one margin: its value and slope, and the margin's derivatives
    /// with respect to the two log-probabilities.
    pub(super) fn of_margin((loss, slope): (f64, f64), along_chosen: f64, along_rejected: f64) -> PairLoss {
        PairLoss { loss, d_chosen: slope * along_chosen, d_rejected: slope * along_rejected }
    }
}
