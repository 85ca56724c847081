//! A trained model as a folder that transformers, peft and vLLM load.

use std::path::Path;

use anyhow::{Context, Result};
use candle_core::DType;
use serde_json::{Value, json};

use super::decoder::Decoder;
use super::lora::save_adapter;
use super::weights::{named_weights, write_safetensors};
use crate::backend::new_file::copy;
use crate::plan::settings::LoraSettings;

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

/// Writes the adapter (with `lora`) or the whole model (without) into an existing folder, with the
/// tokenizer of `base`.
pub fn save(decoder: &Decoder, lora: Option<&LoraSettings>, base: &Path, folder: &Path) -> Result<()> {
    match lora {
        Some(lora) => {
            let base = base.canonicalize().unwrap_or_else(|_| base.to_path_buf());
            save_adapter(decoder, lora, &base, folder)?;
        }
        None => save_model(decoder, folder)?,
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

/// `config.json` and `model.safetensors`.
pub fn save_model(decoder: &Decoder, folder: &Path) -> Result<()> {
    write_safetensors(&named_weights(decoder)?, &folder.join("model.safetensors"))?;
    let dtype = if decoder.place().dtype == DType::BF16 { "bfloat16" } else { "float32" };
    let mut config = decoder.config.raw.clone();
    if let Value::Object(config) = &mut config {
        config.remove("torch_dtype");
        config.insert("dtype".into(), json!(dtype));
    }
    let path = folder.join("config.json");
    std::fs::write(&path, serde_json::to_string_pretty(&config)? + "\n")
        .with_context(|| format!("cannot write `{}`", path.display()))
}
