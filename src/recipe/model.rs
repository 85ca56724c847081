//! Keys of `[model]`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::backend::compute::Dtype;
use crate::model::arch::Architecture;

pub const MAX_POSITION_EMBEDDINGS: usize = 2048;
pub const ROPE_THETA: f64 = 10000.0;
pub const INITIALIZER_RANGE: f64 = 0.02;

/// `[model]`, as written: `base`, or `[model.scratch]`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ModelTable {
    /// Folder of a model in Hugging Face layout (`config.json`, safetensors, `tokenizer.json`),
    /// relative to the recipe, or `ORG/NAME` of a model of the Hugging Face hub that is in the local
    /// cache. The head of a reward model (`value_head.safetensors`, or `score.weight` of a
    /// `…ForSequenceClassification`) is used as one named by `head` is.
    #[schemars(length(min = 1))]
    pub base: Option<String>,
    /// Folder of a PEFT adapter (`adapter_config.json`) that the base starts with, relative to the
    /// recipe. `tuner = "lora"` trains it further, `tuner = "full"` merges it first. Read are LoRA and
    /// rsLoRA with `rank_pattern` and `alpha_pattern`, tables of embedding and head (those that
    /// `modules_to_save` names are trained too), LoRA on them (which is not trained further), and the head
    /// of a sequence classifier (`score`), which is used as one named by `head` is. Other options, DoRA
    /// among them, are refused by name.
    #[schemars(length(min = 1))]
    pub adapter: Option<String>,
    /// A safetensors file with a value head (`v_head.summary.weight` or `score.weight`, also among a
    /// model's weights or an adapter's) for the base, relative to the recipe: an rm stage trains it
    /// further, `reward = "base"` of a ppo stage scores with it. Default: the head that the adapter or the
    /// base brings along; with neither, an rm stage starts with random weights.
    #[schemars(length(min = 1))]
    pub head: Option<String>,
    /// Floats of weights and activations. Sums, gradients of weights, and masters and moments of what
    /// is trained are 32-bit floats with either. Default: `bf16` on a GPU, `f32` on the CPU, which
    /// computes in no other.
    pub dtype: Option<Dtype>,
    /// Chat template: `model` (the model's own), the name of a shipped one (`chatml`, `llama3`, `qwen`,
    /// `mistral`, `gemma`, `phi`, `deepseek`, `zephyr`, `alpaca`, `plain`), or a `.jinja` file relative
    /// to the recipe. A model from scratch has none of its own. Of a model with several named templates
    /// rows with tools take `tool_use` and all others `default`; `model:NAME` takes one for all rows.
    #[schemars(length(min = 1), extend("default" = "model"))]
    pub template: Option<String>,
    /// Further variables for the chat template, as `apply_chat_template` takes them, e.g.
    /// `{ enable_thinking = false, date_string = "26 Jul 2024" }`. A row's own `chat_template_kwargs`
    /// win over them. `messages`, `tools` and `add_generation_prompt` follow from the row.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// What computes: `cpu`, `cuda` (the first GPU) or `cuda:N` (GPU N, counted from 0). A GPU needs a
    /// `runner` that was built with CUDA.
    #[schemars(extend("default" = "cpu"))]
    pub device: Option<Device>,
    /// A model from random weights, in place of `base`.
    pub scratch: Option<ScratchTable>,
}

/// What stands before a GPU's number.
pub const NUMBERED_GPU: &str = "cuda:";

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Device {
    Named(DeviceName),
    /// `cuda:N`
    Numbered(#[schemars(regex(pattern = "^cuda:[0-9]{1,3}$"))] String),
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DeviceName {
    /// All cores of this machine.
    Cpu,
    /// The first GPU.
    Cuda,
}

/// `[model.scratch]`, as written; key names are those of Hugging Face's `config.json`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct ScratchTable {
    /// Shape of a layer.
    #[schemars(required)]
    pub architecture: Option<Architecture>,
    /// Width of the residual stream.
    #[schemars(required, range(min = 1))]
    pub hidden_size: Option<usize>,
    /// Layers.
    #[schemars(required, range(min = 1))]
    pub num_hidden_layers: Option<usize>,
    /// Query heads.
    #[schemars(required, range(min = 1))]
    pub num_attention_heads: Option<usize>,
    /// Key and value heads: a divisor of `num_attention_heads`, which is the default.
    #[schemars(range(min = 1))]
    pub num_key_value_heads: Option<usize>,
    /// Width of a head, even. Default: `hidden_size / num_attention_heads`.
    #[schemars(range(min = 2))]
    pub head_dim: Option<usize>,
    /// Width of the gated MLP.
    #[schemars(required, range(min = 1))]
    pub intermediate_size: Option<usize>,
    /// Longest sequence that the model is made for, tokens.
    #[schemars(range(min = 2), extend("default" = MAX_POSITION_EMBEDDINGS))]
    pub max_position_embeddings: Option<usize>,
    /// Base of the rotary position embedding.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = ROPE_THETA))]
    pub rope_theta: Option<f64>,
    /// Whether the embedding is also the head.
    #[schemars(extend("default" = false))]
    pub tie_word_embeddings: Option<bool>,
    /// Standard deviation of the random weights.
    #[schemars(extend("exclusiveMinimum" = 0, "default" = INITIALIZER_RANGE))]
    pub initializer_range: Option<f64>,
    /// A `tokenizer.json` (or a folder with one) relative to the recipe, or
    /// `{ train = { vocab_size = 512, data = "NAME" } }`.
    #[schemars(required)]
    pub tokenizer: Option<TokenizerValue>,
}

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TokenizerValue {
    Path(String),
    Train(TrainedTokenizer),
}

/// A tokenizer made for this recipe.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct TrainedTokenizer {
    /// Trains a byte-level BPE before the first stage.
    #[schemars(required)]
    pub train: Option<TokenizerTraining>,
}

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct TokenizerTraining {
    /// Tokens in all: 256 bytes, the template's special tokens, and merges.
    #[schemars(required, range(min = 259, max = 1048576))]
    pub vocab_size: Option<usize>,
    /// Name of the `[data.NAME]` table whose texts it is trained on.
    #[schemars(required)]
    pub data: Option<String>,
}
