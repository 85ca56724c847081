//! Softmax of one row of scores.

use super::super::simd::{exp_and_sum, max};

/// Softmax over the visible part of a row, zero elsewhere; returns the log-sum-exp.
#[inline(always)]
pub(super) fn softmax(row: &mut [f32], visible: std::ops::Range<usize>) -> f32 {
    row[..visible.start].fill(0.0);
    row[visible.end..].fill(0.0);
    let row = &mut row[visible];
    let top = max(row);
    let sum = exp_and_sum(row, top);
    let scale = sum.recip();
    for p in row.iter_mut() {
        *p *= scale;
    }
    top + sum.ln()
}
