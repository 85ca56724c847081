//! What each token of a response earns (InstructGPT, 2203.02155, eq. 2): `−kl_coef · kl_t`, and at the
//! response's last token the score as well. `kl_t` estimates the divergence of the sampling policy from
//! the reference: k1 `log π_old − log ρ`, or k3 `e^{−k1} − 1 + k1`, which is never negative
//! (Schulman, "Approximating KL divergence").
//!
//! TRL puts the score one slot later, past the response's last token, when a response is shorter than
//! its padded batch; we follow the paper. k3's exponent is held below 80.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::objective::box_cox::bounded_exponent;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KlEstimator {
    /// `log π − log ρ`: unbiased.
    K1,
    /// `exp(−k1) − 1 + k1`: unbiased, never negative, of less variance.
    K3,
}

/// One token's divergence, from its log-probabilities (nats) under the sampling policy and the
/// reference.
pub fn kl(estimator: KlEstimator, old: f64, reference: f64) -> f64 {
    let k1 = old - reference;
    match estimator {
        KlEstimator::K1 => k1,
        KlEstimator::K3 => bounded_exponent(-k1).exp_m1() + k1,
    }
}

/// Rewards of one response's tokens, `[tokens]`, from their log-probabilities under the sampling policy
/// (`old`) and the reference, both `[tokens]`. A response without tokens earns nothing.
pub fn token_rewards(
    old: &[f64],
    reference: &[f64],
    score: f64,
    kl_coef: f64,
    estimator: KlEstimator,
) -> Vec<f64> {
    let pairs = old.iter().zip(reference);
    let mut rewards: Vec<f64> = pairs.map(|(&old, &rho)| -kl_coef * kl(estimator, old, rho)).collect();
    if let Some(last) = rewards.last_mut() {
        *last += score;
    }
    rewards
}
