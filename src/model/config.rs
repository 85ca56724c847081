//! `config.json` of a Hugging Face model folder: what the decoder needs of it, and the file as it
//! was, to be written back unchanged.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::Value;

use super::rope::Rope;
use super::spec::{Architecture, ScratchSpec};

/// How transformers ends the class names of sequence classifiers.
pub const CLASSIFIER: &str = "ForSequenceClassification";

/// A decoder-only transformer of the Llama family.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    pub architecture: Architecture,
    pub vocab_size: usize,
    pub hidden_size: usize,
    pub num_hidden_layers: usize,
    pub num_attention_heads: usize,
    pub num_key_value_heads: usize,
    pub head_dim: usize,
    pub intermediate_size: usize,
    pub rms_norm_eps: f64,
    pub rope: Rope,
    pub tie_word_embeddings: bool,
    pub initializer_range: f64,
    /// Keys a query of each layer sees at most; `None`: all before it.
    pub windows: Vec<Option<usize>>,
    /// The file, unchanged.
    pub raw: Value,
}

/// The fields of `config.json` that are read, as transformers 4 and 5 write them.
#[derive(Deserialize)]
struct Fields {
    model_type: String,
    vocab_size: usize,
    hidden_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    intermediate_size: usize,
    rms_norm_eps: f64,
    #[serde(default)]
    tie_word_embeddings: bool,
    #[serde(default = "default_range")]
    initializer_range: f64,
    hidden_act: Option<String>,
    sliding_window: Option<usize>,
    use_sliding_window: Option<bool>,
    max_window_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    mlp_bias: bool,
    quantization_config: Option<Value>,
}

fn default_range() -> f64 {
    0.02
}

impl Config {
    /// Reads `config.json` in `folder`. Errors name the file and the key.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let raw: Value =
            serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
        Self::from_json(raw).with_context(|| format!("`{}`", path.display()))
    }

    /// Errors on an architecture or a feature that the decoder does not have.
    pub fn from_json(raw: Value) -> Result<Self> {
        let f: Fields = serde_json::from_value(raw.clone())?;
        let architecture = match f.model_type.as_str() {
            "llama" => Architecture::Llama,
            "mistral" => Architecture::Mistral,
            "qwen2" => Architecture::Qwen2,
            "qwen3" => Architecture::Qwen3,
            other => bail!("model_type `{other}` is not supported; supported: llama, mistral, qwen2, qwen3"),
        };
        if f.attention_bias || f.mlp_bias {
            bail!("`attention_bias` and `mlp_bias` are not supported")
        }
        if f.quantization_config.is_some() {
            bail!("quantised weights cannot be trained; use the unquantised model")
        }
        match f.hidden_act.as_deref() {
            None | Some("silu") => {}
            Some(other) => bail!("hidden_act `{other}` is not supported; supported: silu"),
        }
        let kv_heads = f.num_key_value_heads.unwrap_or(f.num_attention_heads);
        if kv_heads == 0 || !f.num_attention_heads.is_multiple_of(kv_heads) {
            bail!("{} attention heads cannot share {kv_heads} key-value heads", f.num_attention_heads)
        }
        let head_dim = f.head_dim.unwrap_or(f.hidden_size / f.num_attention_heads);
        if head_dim == 0 || !head_dim.is_multiple_of(2) {
            bail!("head_dim {head_dim} is not an even number above 0")
        }
        let windows = (0..f.num_hidden_layers).map(|layer| f.window(architecture, layer)).collect();
        Ok(Config {
            architecture,
            vocab_size: f.vocab_size,
            hidden_size: f.hidden_size,
            num_hidden_layers: f.num_hidden_layers,
            num_attention_heads: f.num_attention_heads,
            num_key_value_heads: kv_heads,
            head_dim,
            intermediate_size: f.intermediate_size,
            rms_norm_eps: f.rms_norm_eps,
            rope: Rope::from_config(&raw, head_dim)?,
            tie_word_embeddings: f.tie_word_embeddings,
            initializer_range: f.initializer_range,
            windows,
            raw,
        })
    }

    /// The config of a model from random weights, as transformers would write it.
    pub fn scratch(
        spec: &ScratchSpec,
        vocab_size: usize,
        eos: Option<u32>,
        pad: Option<u32>,
    ) -> Result<Self> {
        let (model_type, class) = match spec.architecture {
            Architecture::Llama => ("llama", "LlamaForCausalLM"),
            Architecture::Mistral => ("mistral", "MistralForCausalLM"),
            Architecture::Qwen2 => ("qwen2", "Qwen2ForCausalLM"),
            Architecture::Qwen3 => ("qwen3", "Qwen3ForCausalLM"),
        };
        Self::from_json(serde_json::json!({
            "architectures": [class],
            "model_type": model_type,
            "bos_token_id": null,
            "eos_token_id": eos,
            "pad_token_id": pad,
            "dtype": "float32",
            "head_dim": spec.head_dim,
            "hidden_act": "silu",
            "hidden_size": spec.hidden_size,
            "initializer_range": spec.initializer_range,
            "intermediate_size": spec.intermediate_size,
            "max_position_embeddings": spec.max_position_embeddings,
            "num_attention_heads": spec.num_attention_heads,
            "num_hidden_layers": spec.num_hidden_layers,
            "num_key_value_heads": spec.num_key_value_heads,
            "rms_norm_eps": 1e-6,
            "rope_parameters": { "rope_theta": spec.rope_theta, "rope_type": "default" },
            "sliding_window": null,
            "tie_word_embeddings": spec.tie_word_embeddings,
            "vocab_size": vocab_size,
        }))
        .map_err(|e| anyhow!("[model.scratch]: {e}"))
    }

    /// Whether it is that of a sequence classifier, as reward models are.
    pub fn is_classifier(&self) -> bool {
        let class = self.raw["architectures"][0].as_str();
        class.is_some_and(|class| class.ends_with(CLASSIFIER))
    }

    /// Width of the queries of a row.
    pub fn query_width(&self) -> usize {
        self.num_attention_heads * self.head_dim
    }

    /// Width of the keys (or values) of a row.
    pub fn key_width(&self) -> usize {
        self.num_key_value_heads * self.head_dim
    }

    /// Whether queries, keys and values have biases.
    pub fn qkv_bias(&self) -> bool {
        self.architecture == Architecture::Qwen2
    }

    /// Whether queries and keys are normalised per head.
    pub fn qk_norm(&self) -> bool {
        self.architecture == Architecture::Qwen3
    }

    /// Weights of the decoder layers' matrices: what a token is multiplied with, head excluded.
    pub fn trunk_weights(&self) -> u64 {
        let attention = self.hidden_size * (2 * self.query_width() + 2 * self.key_width());
        let mlp = 3 * self.hidden_size * self.intermediate_size;
        (self.num_hidden_layers * (attention + mlp)) as u64
    }

    /// All weights, as stored.
    pub fn parameters(&self) -> u64 {
        let tables = if self.tie_word_embeddings { 1 } else { 2 };
        let biases = if self.qkv_bias() { self.query_width() + 2 * self.key_width() } else { 0 };
        let norms = 2 * self.hidden_size + if self.qk_norm() { 2 * self.head_dim } else { 0 };
        let layers = self.num_hidden_layers * (biases + norms);
        self.trunk_weights()
            + (tables * self.vocab_size * self.hidden_size + layers + self.hidden_size) as u64
    }
}

impl Fields {
    fn window(&self, architecture: Architecture, layer: usize) -> Option<usize> {
        if let Some(types) = &self.layer_types {
            return (types.get(layer)? == "sliding_attention").then_some(self.sliding_window)?;
        }
        match architecture {
            Architecture::Mistral => self.sliding_window,
            Architecture::Qwen2 | Architecture::Qwen3 => {
                let on =
                    self.use_sliding_window.unwrap_or(false) && layer >= self.max_window_layers.unwrap_or(28);
                on.then_some(self.sliding_window)?
            }
            Architecture::Llama => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn qwen2(extra: Value) -> Value {
        let mut config = json!({
            "model_type": "qwen2", "vocab_size": 512, "hidden_size": 64, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 2, "intermediate_size": 160,
            "rms_norm_eps": 1e-6, "rope_theta": 1e6, "sliding_window": 32, "max_window_layers": 1,
        });
        if let (Some(config), Some(extra)) = (config.as_object_mut(), extra.as_object()) {
            config.extend(extra.clone());
        }
        config
    }

    #[test]
    fn a_window_of_qwen2_counts_only_when_switched_on() {
        let off = Config::from_json(qwen2(json!({}))).unwrap();
        assert_eq!(off.windows, [None, None, None]);
        let on = Config::from_json(qwen2(json!({ "use_sliding_window": true }))).unwrap();
        assert_eq!(on.windows, [None, Some(32), Some(32)]);
        let types = ["full_attention", "sliding_attention", "full_attention"];
        let by_layer = Config::from_json(qwen2(json!({ "layer_types": types }))).unwrap();
        assert_eq!(by_layer.windows, [None, Some(32), None]);
    }

    #[test]
    fn what_the_decoder_lacks_is_refused_by_name() {
        for (extra, says) in [
            (json!({ "model_type": "gpt2" }), "model_type `gpt2` is not supported"),
            (json!({ "hidden_act": "gelu" }), "hidden_act `gelu`"),
            (json!({ "num_key_value_heads": 3 }), "4 attention heads cannot share 3"),
            (json!({ "head_dim": 7 }), "head_dim 7"),
            (json!({ "mlp_bias": true }), "mlp_bias"),
            (json!({ "quantization_config": {} }), "quantised"),
            (json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0 } }), "`yarn`"),
        ] {
            let error = Config::from_json(qwen2(extra)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
