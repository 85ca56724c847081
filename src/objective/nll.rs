//! Negative log-likelihood averaged over tokens: `−Σ log π(y_t) / N`.
//!
//! SFT divides by the trained tokens of the whole optimiser step; the NLL term of RPO (2404.19733)
//! and of `loss_type = "sft"` by the chosen answers' tokens of the micro-batch, as TRL does.

/// The part of the loss that one sequence's summed log-probability makes, and its derivative with
/// respect to each token's log-probability, when the mean is over `tokens` tokens.
pub fn nll(sum_log_prob: f64, tokens: usize) -> (f64, f64) {
    let share = 1.0 / tokens as f64;
    (-sum_log_prob * share, -share)
}
