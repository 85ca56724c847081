//! RMSNorm and its backward: y = x · w / rms(x), rms(x) = √(mean(x²) + ε). Source: 1910.07467.
//! Rows may be parts of wider rows, as the heads inside a fused query-key-value row are.

mod heads;
mod launch;
mod rows;
#[cfg(test)]
mod tests;

pub use heads::{rms_norm_heads, rms_norm_heads_backward};
pub use rows::{add_rms_norm, rms_norm, rms_norm_backward};

/// The heads inside `[rows, width]`: `heads` of them, `head_dim` wide, from column `start`.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    pub start: usize,
    pub heads: usize,
    pub head_dim: usize,
}

impl Heads {
    /// A row as one head.
    pub fn whole(width: usize) -> Self {
        Heads { start: 0, heads: 1, head_dim: width }
    }
}
