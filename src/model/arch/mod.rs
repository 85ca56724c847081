//! The architectures that the decoder computes, each described in a file of its own: how it differs
//! from a Llama, and how transformers reads its `config.json`. Everything else asks these [`Traits`].

mod llama;
mod mistral;
mod qwen2;
mod qwen3;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A family of models, as `model_type` of `config.json` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Llama: grouped-query attention, gated MLP.
    Llama,
    /// Mistral: as Llama, with a sliding window where the model has one.
    Mistral,
    /// Qwen2: as Llama, with biases on q, k and v.
    Qwen2,
    /// Qwen3: as Llama, with norms on q and k.
    Qwen3,
}

impl Architecture {
    pub const ALL: [Architecture; 4] =
        [Architecture::Llama, Architecture::Mistral, Architecture::Qwen2, Architecture::Qwen3];

    /// What sets it apart.
    pub fn traits(self) -> &'static Traits {
        match self {
            Architecture::Llama => &llama::TRAITS,
            Architecture::Mistral => &mistral::TRAITS,
            Architecture::Qwen2 => &qwen2::TRAITS,
            Architecture::Qwen3 => &qwen3::TRAITS,
        }
    }

    /// As `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        self.traits().model_type
    }

    /// The architecture of a `model_type`, if the decoder computes it.
    pub fn of_model_type(model_type: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.model_type() == model_type)
    }
}

/// An architecture, described.
#[derive(Debug)]
pub struct Traits {
    /// `model_type` of `config.json`.
    pub model_type: &'static str,
    /// The class of its causal model in transformers.
    pub class: &'static str,
    /// Whether queries, keys and values have biases.
    pub qkv_bias: bool,
    /// Whether queries and keys are normalised per head before they are rotated.
    pub qk_norm: bool,
    /// Switches of `config.json` that would add biases, and that must be off.
    pub unsupported_biases: &'static [&'static str],
    /// `num_key_value_heads` where the config does not say.
    pub kv_heads: KvHeads,
    /// Whether a `num_key_value_heads` of null means as many as there are query heads.
    pub kv_heads_may_be_null: bool,
    /// `head_dim` where the config does not say; `None`: `hidden_size / num_attention_heads`.
    pub head_dim: Option<usize>,
    /// Whether a `head_dim` of null means `hidden_size / num_attention_heads`.
    pub head_dim_may_be_null: bool,
    pub window: SlidingWindow,
    /// `rms_norm_eps`, `rope_theta`, `tie_word_embeddings` and `initializer_range` where the config does not say.
    pub rms_norm_eps: f64,
    pub rope_theta: f64,
    pub tie_word_embeddings: bool,
    pub initializer_range: f64,
    /// Keys of `config.json` that it reads beside those of all architectures.
    pub own_keys: &'static [&'static str],
    /// Keys that the decoder does not follow, but whose type transformers checks.
    pub typed_keys: &'static [TypedKey],
}

/// How many heads of keys and values there are where a config does not say.
#[derive(Debug, Clone, Copy)]
pub enum KvHeads {
    /// As many as query heads.
    AsQueries,
    Fixed(usize),
}

/// Where a config says how many keys a query sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlidingWindow {
    /// Nowhere: a query sees all before it.
    Never,
    /// `sliding_window`, for all layers.
    Always,
    /// `sliding_window`, from layer `max_window_layers` on, where `use_sliding_window` is set.
    Switched,
}

/// A key of `config.json`, what it must be, whether a value is that, and what transformers takes without it.
pub type TypedKey = (&'static str, &'static str, fn(&Value) -> bool, &'static str);

/// Whether a value is a whole number.
pub fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}
