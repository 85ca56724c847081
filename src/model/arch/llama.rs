//! Llama (2302.13971, 2407.21783), and what others publish in its shape.
//!
//! Notable features:
//! - RMSNorm before attention and before the MLP, no biases
//! - rotary positions over the whole head; Llama 3 stretches long wavelengths
//! - grouped-query attention: several query heads share a head of keys and values
//! - an MLP gated by SiLU
//! - a head of its own, or the embedding's table

use super::{KvHeads, SlidingWindow, Traits, is_whole};

pub const TRAITS: Traits = Traits {
    model_type: "llama",
    class: "LlamaForCausalLM",
    qkv_bias: false,
    qk_norm: false,
    unsupported_biases: &["attention_bias", "mlp_bias"],
    kv_heads: KvHeads::AsQueries,
    kv_heads_may_be_null: true,
    head_dim: None,
    head_dim_may_be_null: true,
    window: SlidingWindow::Never,
    rms_norm_eps: 1e-6,
    rope_theta: 10_000.0,
    tie_word_embeddings: false,
    initializer_range: 0.02,
    own_keys: &["attention_bias", "mlp_bias"],
    typed_keys: &[(
        "pretraining_tp",
        "a whole number or null",
        |value| is_whole(value) || value.is_null(),
        "1",
    )],
};
