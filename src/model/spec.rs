//! What the `[model]` table resolves to.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::arch::Architecture;
use crate::backend::compute::{DeviceSpec, Dtype};

/// The `[model]` table, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ModelSpec {
    pub origin: ModelOrigin,
    /// PEFT folder that the base starts with.
    pub adapter: Option<PathBuf>,
    /// Safetensors file with a value head for the base.
    pub head: Option<PathBuf>,
    /// A name in `templates/`, `model:NAME`, a path, or `None`: the model's own.
    pub template: Option<String>,
    /// Further variables of the template.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub chat_template_kwargs: Map<String, Value>,
    pub device: DeviceSpec,
    pub dtype: Dtype,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelOrigin {
    /// A local folder in Hugging Face layout.
    Folder(PathBuf),
    /// Random weights.
    Scratch(ScratchSpec),
}

/// `[model.scratch]`: a model from random weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScratchSpec {
    pub architecture: Architecture,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    /// Defaults to `hidden_size / num_attention_heads`.
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub max_position_embeddings: usize,
    pub rope_theta: f64,
    pub tie_word_embeddings: bool,
    /// Standard deviation of the random weights.
    pub initializer_range: f64,
    pub tokenizer: TokenizerSpec,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenizerSpec {
    /// A `tokenizer.json`, or a folder that holds one.
    Path(PathBuf),
    /// A byte-level BPE trained on the texts of a `[data.NAME]` table.
    Train { vocab_size: usize, data: String },
}
