//! Mistral (2310.06825).
//!
//! Notable features:
//! - as Llama
//! - a sliding window in every layer, where the model has one

use super::{KvHeads, SlidingWindow, Traits, llama};

pub const TRAITS: Traits = Traits {
    model_type: "mistral",
    class: "MistralForCausalLM",
    qkv_bias: false,
    qk_norm: false,
    unsupported_biases: &[],
    kv_heads: KvHeads::Fixed(8),
    kv_heads_may_be_null: false,
    head_dim: None,
    head_dim_may_be_null: true,
    window: SlidingWindow::Always,
    own_keys: &["sliding_window"],
    typed_keys: &[],
    ..llama::TRAITS
};
