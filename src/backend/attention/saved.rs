//! What attention keeps for its gradient.

use candle_core::Tensor;

/// What forward saw and made.
pub struct Saved<'a> {
    /// `[tokens, heads · head_dim]`.
    pub q: &'a Tensor,
    /// Keys and values side by side, `[key rows, 2 · kv_heads · head_dim]`.
    pub kv: &'a Tensor,
    /// `[tokens, heads · head_dim]`.
    pub out: &'a Tensor,
    /// `[tokens, heads]`.
    pub lse: &'a Tensor,
}
