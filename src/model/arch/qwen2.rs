//! Qwen2 (2407.10671) and Qwen2.5.
//!
//! Notable features:
//! - as Llama
//! - biases on queries, keys and values
//! - a sliding window in the upper layers, where it is switched on

use super::{KvHeads, SlidingWindow, Traits, llama};

pub const TRAITS: Traits = Traits {
    model_type: "qwen2",
    class: "Qwen2ForCausalLM",
    qkv_bias: true,
    qk_norm: false,
    unsupported_biases: &[],
    kv_heads: KvHeads::Fixed(32),
    kv_heads_may_be_null: true,
    head_dim: None,
    head_dim_may_be_null: false,
    window: SlidingWindow::Switched,
    own_keys: &["sliding_window", "use_sliding_window"],
    typed_keys: &[],
    ..llama::TRAITS
};
