//! PPO's clipped losses (1707.06347). Per token, with `q = π_new/π_old`:
//! - policy, eq. 7: `max(−A q, −A clip(q, 1 ± cliprange))`
//! - value: `½ max((V − R)², (clip(V, V_old ± cliprange_value) − R)²)`
//!
//! each a mean over all tokens of a mini-batch. As in TRL's `PPOTrainer`, except that `approxkl` and
//! the ratios count tokens of responses only (TRL: padding too), and that `ratio_variance` is over
//! tokens (TRL: over the means of mini-batches). `log q` is held below 80.

use super::gae::mean_and_variance;
use crate::objective::box_cox::bounded_exponent;

/// The clipped policy loss of a mini-batch.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyLoss {
    /// Mean over tokens.
    pub loss: f64,
    /// ∂ loss / ∂ log π_new of each token.
    pub d_log_probs: Vec<f64>,
    /// `½ mean((log π_new − log π_old)²)`
    pub approxkl: f64,
    /// Share of tokens where the clipped loss is the larger one.
    pub clipfrac: f64,
    pub ratio_mean: f64,
    /// Unbiased; 0 for one token.
    pub ratio_variance: f64,
}

/// The clipped value loss of a mini-batch.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueLoss {
    /// Mean over tokens.
    pub loss: f64,
    /// ∂ loss / ∂ V of each token.
    pub d_values: Vec<f64>,
    /// Share of tokens where the clipped loss is the larger one.
    pub clipfrac: f64,
}

/// The policy's loss over a mini-batch, flat: log-probabilities under the policy (`new`) and under the
/// one that sampled (`old`), nats, and advantages, all `[tokens]`.
pub fn policy_loss(new: &[f64], old: &[f64], advantages: &[f64], cliprange: f64) -> PolicyLoss {
    let share = 1.0 / (new.len() as f64).max(1.0);
    let mut ratios = Vec::with_capacity(new.len());
    let mut found = PolicyLoss {
        loss: 0.0,
        d_log_probs: Vec::with_capacity(new.len()),
        approxkl: 0.0,
        clipfrac: 0.0,
        ratio_mean: 0.0,
        ratio_variance: 0.0,
    };
    for ((new, old), advantage) in new.iter().zip(old).zip(advantages) {
        let log_ratio = new - old;
        let ratio = bounded_exponent(log_ratio).exp();
        let free = -advantage * ratio;
        let clipped = -advantage * ratio.max(1.0 - cliprange).min(1.0 + cliprange);
        let is_clipped = clipped > free;
        found.loss += share * if is_clipped { clipped } else { free };
        found.d_log_probs.push(if is_clipped { 0.0 } else { share * free });
        found.approxkl += share * 0.5 * log_ratio * log_ratio;
        found.clipfrac += if is_clipped { share } else { 0.0 };
        ratios.push(ratio);
    }
    (found.ratio_mean, found.ratio_variance) = mean_and_variance(&ratios);
    found
}

/// The value model's loss over a mini-batch, flat: its values (`new`), those when the responses were
/// sampled (`old`), and returns, all `[tokens]`.
pub fn value_loss(new: &[f64], old: &[f64], returns: &[f64], cliprange_value: f64) -> ValueLoss {
    let share = 1.0 / (new.len() as f64).max(1.0);
    let mut found = ValueLoss { loss: 0.0, d_values: Vec::with_capacity(new.len()), clipfrac: 0.0 };
    for ((new, old), target) in new.iter().zip(old).zip(returns) {
        let free = new - target;
        let clipped = new.max(old - cliprange_value).min(old + cliprange_value) - target;
        let is_clipped = clipped * clipped > free * free;
        let error = if is_clipped { clipped } else { free };
        found.loss += share * 0.5 * error * error;
        found.d_values.push(if is_clipped { 0.0 } else { share * free });
        found.clipfrac += if is_clipped { share } else { 0.0 };
    }
    found
}
