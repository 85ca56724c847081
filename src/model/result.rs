//! A trained model as a folder that transformers, peft and vLLM load.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::DType;
use serde_json::{Map, Value, json};

use super::config::{CLASSIFIER, TOKEN_CLASSIFIER};
use super::decoder::Decoder;
use super::tuner::Tuner;
use super::tuner::lora::save_adapter;
use super::value_head::{FILE as VALUE_HEAD, HeadFormat, SCORE, SCORE_BIAS, ValueHead};
use super::weights::{named_weights, write_safetensors};
use crate::backend::new_file::copy;
use crate::json_file;

/// Files beside the weights that belong to a model.
const COMPANIONS: [&str; 9] = [
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "generation_config.json",
    "chat_template.jinja",
];

/// Keys of `config.json` that transformers takes floats for, and no whole numbers.
const FLOATS: [&str; 2] = ["rms_norm_eps", "initializer_range"];

/// Writes what the tuner trained, the adapter or the whole model, into an existing folder, with the
/// tokenizer of `base` and the head of a reward model.
pub fn save(
    decoder: &Decoder,
    head: Option<&ValueHead>,
    tuner: &Tuner,
    base: &Path,
    folder: &Path,
) -> Result<()> {
    match tuner {
        Tuner::Lora(lora) => {
            let base = base.canonicalize().unwrap_or_else(|_| base.to_path_buf());
            let is_classifier = head.is_some_and(|head| head.format == HeadFormat::Classifier);
            let score = head.map(|head| &head.weight.value);
            let score = score.filter(|_| is_classifier || decoder.config.is_classifier());
            save_adapter(decoder, lora, &base, score, folder)?;
        }
        Tuner::Full => save_model(decoder, head, folder)?,
    }
    if let Some(head) = head {
        head.save(&folder.join(VALUE_HEAD))?;
    }
    for name in COMPANIONS {
        let from = base.join(name);
        if from.exists() {
            copy(&from, &folder.join(name))
                .with_context(|| format!("cannot copy `{}` to `{}`", from.display(), folder.display()))?;
        }
    }
    Ok(())
}

/// `config.json` and `model.safetensors`. A classifier stays one if it has a head; without it, the result
/// is a causal model.
pub fn save_model(decoder: &Decoder, head: Option<&ValueHead>, folder: &Path) -> Result<()> {
    let mut weights = named_weights(decoder)?;
    let is_token_classifier = decoder.config.is_token_classifier();
    let is_classifier = decoder.config.is_classifier() || is_token_classifier;
    if let Some(head) = head.filter(|_| is_classifier) {
        weights.insert(SCORE.to_owned(), head.weight.value.clone());
        if is_token_classifier {
            weights.insert(SCORE_BIAS.to_owned(), head.bias.value.clone());
        }
    }
    write_safetensors(&weights, &folder.join("model.safetensors"))?;
    let dtype = if decoder.compute().dtype == DType::BF16 { "bfloat16" } else { "float32" };
    let mut config = decoder.config.raw.clone();
    if let Value::Object(config) = &mut config {
        config.remove("torch_dtype");
        config.insert("dtype".into(), json!(dtype));
        if is_classifier && head.is_none() {
            make_causal(config);
        }
        for key in FLOATS {
            config.get_mut(key).map(make_float);
        }
    }
    json_file::write(&folder.join("config.json"), &config)
}

/// Writes a whole number as a float, which is what transformers takes for such a key.
fn make_float(value: &mut Value) {
    if let Some(number) = value.as_i64() {
        *value = json!(number as f64);
    }
}

/// Names the class of the model that is left when a classifier's head is gone.
fn make_causal(config: &mut Map<String, Value>) {
    for class in config.get_mut("architectures").and_then(Value::as_array_mut).into_iter().flatten() {
        let family = [CLASSIFIER, TOKEN_CLASSIFIER].iter().find_map(|end| class.as_str()?.strip_suffix(end));
        if let Some(family) = family {
            *class = Value::from(format!("{family}ForCausalLM"));
        }
    }
    for key in ["num_labels", "id2label", "label2id", "problem_type"] {
        config.shift_remove(key);
    }
}
