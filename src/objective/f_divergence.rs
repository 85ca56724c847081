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

use super::box_cox::box_cox;
use super::sigmoid::{log_sigmoid, sigmoid};
use crate::plan::settings::FDivergence;

/// The score of an answer with log-ratio `r` (nats), and its derivative with respect to r. `None` is
/// reverse KL.
pub fn score(divergence: Option<FDivergence>, r: f64) -> (f64, f64) {
    match divergence {
        None => (r, 1.0),
        Some(FDivergence::ForwardKl) => box_cox(r, -1.0),
        Some(FDivergence::JsDivergence) => (LN_2 + log_sigmoid(r), sigmoid(-r)),
        Some(FDivergence::AlphaDivergence(a)) => box_cox(r, a - 1.0),
    }
}
