//! What the `[model]` table resolves to.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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

/// What computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSpec {
    /// All cores of this machine.
    #[default]
    Cpu,
    /// A GPU, by its number.
    Cuda(usize),
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// Float type of weights and activations. Sums, gradients of weights and what is trained are float32
/// with either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    #[default]
    F32,
    Bf16,
}

impl Dtype {
    /// As in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 => 2,
        }
    }
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

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    Llama,
    Mistral,
    Qwen2,
    Qwen3,
}

impl Architecture {
    /// As `model_type` of `config.json`.
    pub fn model_type(self) -> &'static str {
        match self {
            Architecture::Llama => "llama",
            Architecture::Mistral => "mistral",
            Architecture::Qwen2 => "qwen2",
            Architecture::Qwen3 => "qwen3",
        }
    }

    /// The family of a `model_type`, if the decoder computes it.
    pub fn of_model_type(model_type: &str) -> Option<Self> {
        let all = [Architecture::Llama, Architecture::Mistral, Architecture::Qwen2, Architecture::Qwen3];
        all.into_iter().find(|architecture| architecture.model_type() == model_type)
    }
}
