//! Qwen3 (2505.09388), its dense models.
//!
//! Notable features:
//! - as Llama
//! - queries and keys are normalised per head, before they are rotated
//! - heads 128 wide, whatever the width of the model
//! - a sliding window in the upper layers, where it is switched on

use super::{KvHeads, SlidingWindow, Traits, llama};

pub const TRAITS: Traits = Traits {
    model_type: "qwen3",
    class: "Qwen3ForCausalLM",
    qkv_bias: false,
    qk_norm: true,
    unsupported_biases: &["attention_bias"],
    kv_heads: KvHeads::Fixed(32),
    kv_heads_may_be_null: true,
    head_dim: Some(128),
    head_dim_may_be_null: false,
    window: SlidingWindow::Switched,
    own_keys: &["sliding_window", "use_sliding_window", "attention_bias"],
    typed_keys: &[],
    ..llama::TRAITS
};
