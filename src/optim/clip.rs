//! Clipping by the global norm.

use anyhow::Result;
use rayon::prelude::*;

use crate::backend::lanes::{dot, wide};
use crate::backend::storage::view;
use crate::model::param::Trained;

/// Elements of one partial sum; fixed, so that threads do not change the result.
const BLOCK: usize = 1 << 16;

/// √(Σ g²) over all gradients.
pub fn global_norm(trained: &[Trained<'_>]) -> Result<f64> {
    let mut total = 0.0;
    for weight in trained {
        let grad = view(weight.grad)?;
        let partial: Vec<f64> = grad
            .par_chunks(BLOCK)
            .map(|g| {
                f64::from(wide(
                    #[inline(always)]
                    || dot(g, g),
                ))
            })
            .collect();
        total += partial.iter().sum::<f64>();
    }
    Ok(total.sqrt())
}

/// What gradients are multiplied with so that their norm is at most `max_norm`; 0 turns it off.
pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}
