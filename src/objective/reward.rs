//! The reward model of InstructGPT (2203.02155), eq. 1, on one pair: `−log σ(s_w − s_l − m)` with m the
//! margin that the row asks for (Llama 2, 2307.09288), plus `c (s_w + s_l)²`, which keeps scores around
//! 0 (2312.09244). The paper averages over all pairs of a prompt's K answers, here each row is a pair of
//! its own. As in TRL.

use super::margin;
use super::pair::PairLoss;

/// Loss of one pair of scores and its derivatives with respect to them.
pub fn loss(
    chosen_score: f64,
    rejected_score: f64,
    margin: f64,
    center_rewards_coefficient: f64,
) -> PairLoss {
    let ranked = margin::logistic(chosen_score - rejected_score - margin, 0.0);
    let (square, centering) = margin::squared(chosen_score + rejected_score, 0.0);
    let PairLoss { loss, d_chosen, d_rejected } = PairLoss::of_margin(ranked, 1.0, -1.0);
    PairLoss {
        loss: loss + center_rewards_coefficient * square,
        d_chosen: d_chosen + center_rewards_coefficient * centering,
        d_rejected: d_rejected + center_rewards_coefficient * centering,
    }
}
