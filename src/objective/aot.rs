//! AOT (2406.05882): the sigmoid loss on the margins between sorted quantities of a micro-batch, so
//! that one distribution is moved past another rather than each pair's answers apart.
//! - `aot`: `δ = sort(L_π,w − L_π,l) − sort(L_ρ,w − L_ρ,l)`
//! - `aot_unpaired`: `δ = sort(r_w) − sort(r_l)` with `r = L_π − L_ρ`
//!
//! each with `−(1−ε) log σ(βδ) − ε log σ(−βδ)`. Ascending, ties in the order of the pairs; a gradient
//! goes to the pair that its quantity came from. As in TRL. A rank's loss is reported with the pair
//! whose policy margin (`aot`) or chosen answer (`aot_unpaired`) has that rank: only the sum over the
//! micro-batch means something, and a weight for each pair does not.

use super::margin;
use super::pair::{Pair, PairLoss};

/// Losses of a whole micro-batch, in the order of its pairs.
pub fn aot(pairs: &[Pair], beta: f64, label_smoothing: f64) -> Vec<PairLoss> {
    let policy: Vec<f64> = pairs.iter().map(|p| p.policy_chosen - p.policy_rejected).collect();
    let reference: Vec<f64> = pairs.iter().map(|p| p.reference_chosen - p.reference_rejected).collect();
    let mut losses = vec![PairLoss::default(); pairs.len()];
    for (ours, theirs) in ascending(&policy).into_iter().zip(ascending(&reference)) {
        let delta = policy[ours] - reference[theirs];
        losses[ours] = PairLoss::of_margin(margin::logistic(beta * delta, label_smoothing), beta, -beta);
    }
    losses
}

/// Losses of a whole micro-batch, in the order of its pairs.
pub fn aot_unpaired(pairs: &[Pair], beta: f64, label_smoothing: f64) -> Vec<PairLoss> {
    let (chosen, rejected): (Vec<f64>, Vec<f64>) = pairs.iter().map(Pair::log_ratios).unzip();
    let mut losses = vec![PairLoss::default(); pairs.len()];
    for (w, l) in ascending(&chosen).into_iter().zip(ascending(&rejected)) {
        let (loss, slope) = margin::logistic(beta * (chosen[w] - rejected[l]), label_smoothing);
        losses[w].loss = loss;
        losses[w].d_chosen = beta * slope;
        losses[l].d_rejected = -beta * slope;
    }
    losses
}

/// Indices of `values` from the smallest to the largest.
fn ascending(values: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    order
}
