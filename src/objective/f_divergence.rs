//! f-DPO (2309.16240): DPO's log-ratio r replaced by `f'(e^r)`, up to a constant that cancels
//! between the answers of a pair:
//! - reverse KL: `r`, which is DPO
//! - forward KL: `1 − e^{−r}`
//! - Jensen-Shannon: `ln 2 + log σ(r)`
//! - α-divergence: `(e^{(a−1)r} − 1)/(a−1)`
//!
//! As in TRL, except that the exponent is clamped at 80 for forward KL too (TRL: for the α-divergence
//! only, and infinity otherwise), and that a near 1 needs no exception (TRL: r where |a − 1| < 1e-6).

use std::f64::consts::LN_2;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::box_cox::box_cox;
use super::sigmoid::{log_sigmoid, sigmoid};

/// What a log-ratio r becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FDivergence {
    /// r itself: DPO.
    ReverseKl,
    /// `1 − exp(−r)`
    ForwardKl,
    /// `log 2 + log σ(r)`
    JsDivergence,
    /// `(exp((α−1)r) − 1)/(α−1)` with α = `f_alpha_divergence_coef`.
    AlphaDivergence,
}

/// The score of an answer with log-ratio `r` (nats), and its derivative with respect to r. Only the
/// α-divergence reads `alpha`.
pub fn score(divergence: FDivergence, alpha: f64, r: f64) -> (f64, f64) {
    match divergence {
        FDivergence::ReverseKl => (r, 1.0),
        FDivergence::ForwardKl => box_cox(r, -1.0),
        FDivergence::JsDivergence => (LN_2 + log_sigmoid(r), sigmoid(-r)),
        FDivergence::AlphaDivergence => box_cox(r, alpha - 1.0),
    }
}
