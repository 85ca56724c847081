//! `config.json` of a Hugging Face model folder: what the decoder needs of it, and the file as it
//! was, to be written back unchanged.

mod family;
mod keys;
mod types;

use std::path::Path;

use anyhow::{Result, anyhow};
use serde_json::Value;

use self::keys::Keys;
use super::arch::Architecture;
use super::fault::{Fault, Faults};
use super::rope::{self, Rope};
use super::spec::ScratchSpec;
use crate::json_file;

/// How transformers ends the class names of sequence classifiers.
pub const CLASSIFIER: &str = "ForSequenceClassification";
/// The same of token classifiers, whose head has a bias.
pub const TOKEN_CLASSIFIER: &str = "ForTokenClassification";

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
    /// Keys of the file that have no effect, for a person to know.
    pub warnings: Vec<String>,
    /// The file, unchanged.
    pub raw: Value,
}

impl Config {
    /// Reads `config.json` in `folder`. Errors name the file and the key; see [`Faults`].
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let raw = json_file::read(&path)?;
        let name = |fault: Fault| fault.of(&path);
        let mut config =
            Self::from_json(raw).map_err(|faults| Faults(faults.0.into_iter().map(name).collect()))?;
        for warning in &mut config.warnings {
            *warning = format!("`{}`: {warning}", path.display());
        }
        Ok(config)
    }

    /// Errors on an architecture or a feature that the decoder does not have, and on values that
    /// transformers would not take: with all of them at once.
    pub fn from_json(raw: Value) -> Result<Self, Faults> {
        let Value::Object(map) = &raw else {
            return Err(Faults(vec![Fault::new("it is not a JSON object")]));
        };
        let mut keys = Keys::of(map);
        let architecture = family::architecture(&keys).map_err(|fault| Faults(vec![fault]))?;
        let traits = architecture.traits();
        family::refuse_unsupported(&mut keys, traits);
        let num_attention_heads = keys.size("num_attention_heads", None);
        let hidden_size = keys.size("hidden_size", None);
        let num_hidden_layers = family::layers(&mut keys);
        let kv_heads = family::kv_heads(&mut keys, traits, num_attention_heads);
        let head_dim = family::head_dim(&mut keys, traits, hidden_size, num_attention_heads);
        let rope = Rope::from_config(&raw, head_dim, traits.rope_theta);
        let mut config = Config {
            architecture,
            vocab_size: keys.size("vocab_size", None),
            hidden_size,
            num_hidden_layers,
            num_attention_heads,
            num_key_value_heads: kv_heads,
            head_dim,
            intermediate_size: keys.size("intermediate_size", None),
            rms_norm_eps: keys.number("rms_norm_eps", traits.rms_norm_eps),
            rope: rope.unwrap_or_else(|error| {
                keys.faults.push(Fault::new(format!("{error:#}")));
                Rope::plain(head_dim)
            }),
            tie_word_embeddings: keys.flag("tie_word_embeddings", traits.tie_word_embeddings),
            initializer_range: keys.number("initializer_range", traits.initializer_range),
            windows: family::windows(&mut keys, traits, num_hidden_layers),
            warnings: Vec::new(),
            raw: Value::Null,
        };
        family::check_tokens(&mut keys);
        types::check(&mut keys, traits);
        config.warnings.extend(keys.unread(traits));
        config.warnings.extend(rope::unread(&raw));
        config.warnings.extend(family::idle(&mut keys, traits));
        Faults::none_of(keys.faults)?;
        config.raw = raw;
        Ok(config)
    }

    /// Gives the model a head of its own, whatever the file says of ties.
    pub fn untie(&mut self) {
        self.tie_word_embeddings = false;
        if let Value::Object(raw) = &mut self.raw {
            raw.insert("tie_word_embeddings".to_owned(), Value::Bool(false));
        }
    }

    /// The config of a model from random weights, as transformers would write it.
    pub fn scratch(
        spec: &ScratchSpec,
        vocab_size: usize,
        eos: Option<u32>,
        pad: Option<u32>,
    ) -> Result<Self> {
        Self::from_json(serde_json::json!({
            "architectures": [spec.architecture.traits().class],
            "model_type": spec.architecture.model_type(),
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
        Self::is_of_class(&self.raw, CLASSIFIER)
    }

    /// Whether it is that of a token classifier.
    pub fn is_token_classifier(&self) -> bool {
        Self::is_of_class(&self.raw, TOKEN_CLASSIFIER)
    }

    /// Whether a `config.json` names a class whose name ends with `end`.
    pub fn is_of_class(config: &Value, end: &str) -> bool {
        config["architectures"][0].as_str().is_some_and(|class| class.ends_with(end))
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
        self.architecture.traits().qkv_bias
    }

    /// Whether queries and keys are normalised per head.
    pub fn qk_norm(&self) -> bool {
        self.architecture.traits().qk_norm
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
        let by_layer =
            Config::from_json(qwen2(json!({ "layer_types": types, "use_sliding_window": true }))).unwrap();
        assert_eq!(by_layer.windows, [None, Some(32), None]);
    }

    #[test]
    fn what_the_decoder_lacks_is_refused_by_name() {
        for (extra, says) in [
            (json!({ "model_type": "gpt2" }), "`model_type` is \"gpt2\", which is not supported"),
            (json!({ "hidden_act": "gelu" }), "hidden_act `gelu`"),
            (json!({ "num_key_value_heads": 3 }), "4 attention heads cannot share 3"),
            (json!({ "head_dim": 7 }), "`head_dim` is 7"),
            (json!({ "model_type": "llama", "mlp_bias": true }), "mlp_bias"),
            (json!({ "quantization_config": {} }), "quantised"),
            (json!({ "rope_scaling": { "rope_type": "yarn", "factor": 4.0 } }), "`yarn`"),
        ] {
            let error = Config::from_json(qwen2(extra)).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
