//! The keys of `config.json`: read with the types, defaults and nulls that transformers has for them,
//! and told apart into those that have an effect, those that have none here and those nobody knows.

use serde_json::{Map, Value};

use crate::model::arch::Traits;
use crate::model::fault::Fault;

/// Numbers past this are no sizes of a model, and products of them would not fit.
const LARGEST: u64 = 1 << 28;

/// Keys that the decoder follows, for every family.
const READ: [&str; 25] = [
    "model_type",
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "intermediate_size",
    "rms_norm_eps",
    "tie_word_embeddings",
    "initializer_range",
    "hidden_act",
    "layer_types",
    "attention_dropout",
    "quantization_config",
    "is_causal",
    "per_layer_config",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "partial_rotary_factor",
    "original_max_position_embeddings",
    "eos_token_id",
    "pad_token_id",
    "bos_token_id",
];

/// Keys that change nothing of what a decoder computes: what transformers writes about itself, about
/// classifiers, about generation, and what tools leave.
const IDLE: [&str; 78] = [
    "_attn_implementation",
    "_attn_implementation_autoset",
    "_commit_hash",
    "_flash_attn_2_enabled",
    "_from_model_config",
    "_name_or_path",
    "add_cross_attention",
    "architectures",
    "attn_implementation",
    "bad_words_ids",
    "begin_suppress_tokens",
    "cache_implementation",
    "chunk_size_feed_forward",
    "cross_attention_hidden_size",
    "decoder_start_token_id",
    "diversity_penalty",
    "do_sample",
    "dtype",
    "early_stopping",
    "encoder_no_repeat_ngram_size",
    "encoder_repetition_penalty",
    "epsilon_cutoff",
    "eta_cutoff",
    "exponential_decay_length_penalty",
    "finetuning_task",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "gradient_checkpointing",
    "id2label",
    "is_encoder_decoder",
    "is_llama_config",
    "label2id",
    "length_penalty",
    "max_length",
    "max_position_embeddings",
    "max_window_layers",
    "min_length",
    "model_max_length",
    "name_or_path",
    "no_repeat_ngram_size",
    "num_beam_groups",
    "num_beams",
    "num_labels",
    "num_return_sequences",
    "output_attentions",
    "output_hidden_states",
    "output_scores",
    "prefix",
    "pretraining_tp",
    "problem_type",
    "pruned_heads",
    "remove_invalid_values",
    "repetition_penalty",
    "return_dict",
    "return_dict_in_generate",
    "sep_token_id",
    "suppress_tokens",
    "task_specific_params",
    "temperature",
    "tensor_parallel",
    "tf_legacy_loss",
    "tie_encoder_decoder",
    "tokenizer_class",
    "top_k",
    "top_p",
    "torch_dtype",
    "torchscript",
    "transformers.js_config",
    "transformers_version",
    "typical_p",
    "unk_token_id",
    "unsloth_fixed",
    "unsloth_version",
    "use_bfloat16",
    "use_cache",
    "use_flash_attn",
    "use_flash_attention_2",
    "use_return_dict",
];

/// `config.json`, and what is wrong with the keys read so far.
pub struct Keys<'a> {
    raw: &'a Map<String, Value>,
    pub faults: Vec<Fault>,
}

impl<'a> Keys<'a> {
    pub fn of(raw: &'a Map<String, Value>) -> Self {
        Keys { raw, faults: Vec::new() }
    }

    /// What `key` says, null included.
    pub fn get(&self, key: &str) -> Option<&'a Value> {
        self.raw.get(key)
    }

    /// Whether `key` is there and is null.
    pub fn is_null(&self, key: &str) -> bool {
        self.get(key).is_some_and(Value::is_null)
    }

    /// Notes something that is not supported.
    pub fn refuse(&mut self, message: impl Into<String>, help: impl Into<String>) {
        self.faults.push(Fault::new(message).with_help(help));
    }

    /// Notes that `key` has a value of the wrong kind; `default`: what transformers takes without it.
    pub fn wrong(&mut self, key: &str, expected: &str, default: Option<String>) {
        let found = self.get(key).map(short).unwrap_or_default();
        let help = match default {
            Some(default) => format!("correct it, or take the key out: its default is {default}"),
            None => "give the number that the weights were made with".to_owned(),
        };
        self.refuse(format!("`{key}` is {found}, where {expected} is expected"), help);
    }

    /// A size of at least `least`; `default` stands in for a key that is not there, if it has one.
    fn size_from(&mut self, key: &str, least: u64, default: Option<usize>) -> usize {
        let fallback = default.unwrap_or(1);
        match self.get(key) {
            None if default.is_none() => {
                self.refuse(format!("it lacks `{key}`"), "give the number that the weights were made with");
            }
            None => {}
            Some(value) => match value.as_u64() {
                Some(size) if (least..=LARGEST).contains(&size) => return size as usize,
                _ => self.wrong(
                    key,
                    &format!("a whole number from {least}"),
                    default.map(|size| size.to_string()),
                ),
            },
        }
        fallback
    }

    pub fn size(&mut self, key: &str, default: Option<usize>) -> usize {
        self.size_from(key, 1, default)
    }

    /// A number that may be 0.
    pub fn count(&mut self, key: &str, default: usize) -> usize {
        self.size_from(key, 0, Some(default))
    }

    /// As [`Keys::size`], where null is an answer of its own: `None`.
    pub fn size_or_null(&mut self, key: &str, absent: Option<usize>) -> Option<usize> {
        match self.get(key) {
            None => absent,
            Some(Value::Null) => None,
            Some(_) => Some(self.size(key, Some(absent.unwrap_or(1)))),
        }
    }

    pub fn flag(&mut self, key: &str, default: bool) -> bool {
        match self.get(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(_) => {
                self.wrong(key, "true or false", Some(default.to_string()));
                default
            }
        }
    }

    /// A finite number from 0.
    pub fn number(&mut self, key: &str, default: f64) -> f64 {
        match self.get(key).map(|value| value.as_f64().filter(|number| *number >= 0.0)) {
            None => default,
            Some(Some(number)) => number,
            Some(None) => {
                self.wrong(key, "a number from 0", Some(default.to_string()));
                default
            }
        }
    }

    pub fn text(&mut self, key: &str, default: &'static str) -> &'a str {
        match self.get(key) {
            None => default,
            Some(Value::String(text)) => text,
            Some(_) => {
                self.wrong(key, "a text", Some(format!("{default:?}")));
                default
            }
        }
    }

    /// A list of texts, or `None` where there is none.
    pub fn texts(&mut self, key: &str) -> Option<Vec<&'a str>> {
        let value = self.get(key).filter(|value| !value.is_null())?;
        let texts = value.as_array().and_then(|list| list.iter().map(Value::as_str).collect());
        if texts.is_none() {
            self.wrong(key, "a list of texts", Some("null".to_owned()));
        }
        texts
    }

    /// Checks a token id, where `several` a list of them, or null.
    pub fn token_ids(&mut self, key: &str, several: bool) {
        let is_sound = match self.get(key) {
            None | Some(Value::Null) => true,
            Some(Value::Array(list)) if several => list.iter().all(Value::is_i64),
            Some(value) => value.is_i64(),
        };
        if !is_sound {
            let expected = if several { "a token id or a list of them" } else { "a token id" };
            self.wrong(key, expected, Some("null".to_owned()));
        }
    }

    /// Keys with a value that no model of this family reads: a warning, or none.
    pub fn unread(&self, traits: &Traits) -> Option<String> {
        // Of other families, or of older versions: off is as good as not there.
        let others = [
            "attention_bias",
            "mlp_bias",
            "sliding_window",
            "use_sliding_window",
            "use_mrope",
            "rope_interleaved",
            "is_decoder",
            "tie_last_hidden_states",
        ];
        let is_off = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        let unread = self.raw.iter().filter(|(key, value)| {
            let known = [&READ[..], &IDLE, traits.own_keys].iter().any(|keys| keys.contains(&key.as_str()));
            !(known || others.contains(&key.as_str()) && is_off(value))
        });
        let names: Vec<String> = unread.map(|(key, _)| format!("`{key}`")).collect();
        let has = if names.len() == 1 { "has" } else { "have" };
        let (names, family) = (names.join(", "), traits.model_type);
        (!names.is_empty()).then(|| format!("{names} {has} no effect: a `{family}` model has no such key"))
    }
}

/// A value as a message shows it.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(60) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
