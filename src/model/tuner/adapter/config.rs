//! What `adapter_config.json` says of an adapter.

use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::keys::{self, KeyUse, Remedy, is_off, quoted};
use super::modules::{Patterns, TargetPatterns, last, strings};
use crate::json_file;

/// The file's name in an adapter's folder.
pub const CONFIG: &str = "adapter_config.json";

/// Modules that `modules_to_save` may name, by the ends of their names: the tables of the decoder, and
/// the heads of sequence classifiers.
const SAVED: [&str; 4] = ["embed_tokens", "lm_head", "score", "classifier"];

/// How LoRA's matrices were first made, where that left the base as it was.
const HARMLESS_STARTS: [&str; 4] = ["gaussian", "eva", "orthogonal", "mica"];

#[derive(Debug, Clone)]
pub struct AdapterConfig {
    /// Of modules that `rank_pattern` does not name.
    pub rank: usize,
    /// Of modules that `alpha_pattern` does not name.
    pub alpha: f64,
    pub rslora: bool,
    pub ranks: Patterns<usize>,
    pub alphas: Patterns<f64>,
    pub targets: TargetPatterns,
    /// Modules that are trained whole and kept beside LoRA's matrices.
    pub modules_to_save: Vec<String>,
    /// Whether embedding and head stay tied where `modules_to_save` names one of them.
    pub ensure_weight_tying: bool,
    /// Whether it is of a sequence classifier, as reward models are.
    pub is_classifier: bool,
    /// The base that it was trained on, as PEFT knows it: a folder or a name on the hub.
    pub base: Option<String>,
    /// How the matrices were first made, where B is not to be trained.
    pub is_mica: bool,
    /// Options that are passed over, and why that does no harm.
    pub warnings: Vec<String>,
}

impl AdapterConfig {
    /// Reads the configuration in `folder`. Errors on options that the decoder does not have and on
    /// unknown ones, by name.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        Self::of(&json_file::read(&path)?).with_context(|| format!("`{}`", path.display()))
    }

    fn of(config: &Value) -> Result<Self> {
        let table = config.as_object().context("is not a table")?;
        if config["peft_type"].as_str() != Some("LORA") {
            bail!("peft_type {} is not supported; supported: LORA", config["peft_type"])
        }
        let mut warnings = Vec::new();
        for (key, value) in table {
            check_key(key, value, &mut warnings)?;
        }
        check_start(&config["init_lora_weights"])?;
        let modules_to_save = strings(config, "modules_to_save")?;
        if let Some(name) = modules_to_save.iter().find(|name| !SAVED.contains(&last(name))) {
            bail!("`modules_to_save` names `{name}`; supported: {}; {}", quoted(&SAVED), Remedy::Merge.text())
        }
        let is_classifier = match config["task_type"].as_str() {
            Some("SEQ_CLS") => true,
            None | Some("CAUSAL_LM" | "FEATURE_EXTRACTION") => false,
            Some(other) => bail!("task_type `{other}` is not supported; supported: CAUSAL_LM, SEQ_CLS"),
        };
        Ok(AdapterConfig {
            rank: rank(&config["r"]).ok_or_else(|| wrong(config, "r", "a whole number from 1"))?,
            alpha: config["lora_alpha"].as_f64().ok_or_else(|| wrong(config, "lora_alpha", "a number"))?,
            rslora: flag(config, "use_rslora")?,
            ranks: Patterns::read(config, "rank_pattern", rank)?,
            alphas: Patterns::read(config, "alpha_pattern", Value::as_f64)?,
            targets: TargetPatterns::read(config)?,
            modules_to_save,
            ensure_weight_tying: flag(config, "ensure_weight_tying")?,
            is_classifier,
            base: config["base_model_name_or_path"].as_str().map(str::to_owned),
            is_mica: config["init_lora_weights"].as_str().is_some_and(|start| start == "mica"),
            warnings,
        })
    }

    pub fn rank_of(&self, module: &str) -> usize {
        self.ranks.get(module).unwrap_or(self.rank)
    }

    pub fn alpha_of(&self, module: &str) -> f64 {
        self.alphas.get(module).unwrap_or(self.alpha)
    }

    /// Whether `modules_to_save` names a module that ends with `name`.
    pub fn saves(&self, name: &str) -> bool {
        self.modules_to_save.iter().any(|saved| last(saved) == name)
    }
}

fn rank(value: &Value) -> Option<usize> {
    value.as_u64().and_then(|rank| usize::try_from(rank).ok()).filter(|rank| *rank > 0)
}

fn flag(config: &Value, key: &str) -> Result<bool> {
    match &config[key] {
        Value::Null => Ok(false),
        Value::Bool(flag) => Ok(*flag),
        _ => Err(wrong(config, key, "true or false")),
    }
}

fn wrong(config: &Value, key: &str, accepted: &str) -> anyhow::Error {
    match config.get(key) {
        None | Some(Value::Null) => anyhow!("lacks `{key}`, which is {accepted}"),
        Some(value) => anyhow!("`{key}` is {value}; it must be {accepted}"),
    }
}

/// Refuses an option that the decoder does not have; warns of those that are passed over.
fn check_key(key: &str, value: &Value, warnings: &mut Vec<String>) -> Result<()> {
    match keys::of(key) {
        Some(KeyUse::Read | KeyUse::Harmless) => Ok(()),
        Some(KeyUse::Past) if is_off(value) => Ok(()),
        Some(KeyUse::Past) => {
            warnings.push(format!("`{key}` says how the adapter was made, not what it computes: not read"));
            Ok(())
        }
        Some(KeyUse::Refused(_)) if is_off(value) => Ok(()),
        Some(KeyUse::Refused(remedy)) => {
            bail!("`{key}` = {} is not supported; {}", short(value), remedy.text())
        }
        None if is_off(value) => {
            warnings.push(format!("`{key}` is not known; it is {value}, so nothing is lost"));
            Ok(())
        }
        None => bail!(
            "`{key}` = {} is not known; take it out if the adapter computes the same without it",
            short(value)
        ),
    }
}

/// A value, as much of it as fits a message.
fn short(value: &Value) -> String {
    const LONGEST: usize = 60;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// Whether the base that the adapter was trained on is the base as it lies on the disk: some ways to
/// make the first matrices take them out of it.
fn check_start(start: &Value) -> Result<()> {
    match start {
        Value::Null | Value::Bool(_) => Ok(()),
        Value::String(text) if HARMLESS_STARTS.contains(&text.to_lowercase().as_str()) => Ok(()),
        other => bail!(
            "`init_lora_weights` = {other} changes the base when the adapter is made, and the base here is \
             unchanged; {}",
            Remedy::Convert.text()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(key: &str, value: Value) -> Value {
        let mut config = json!({
            "peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"],
            "task_type": "CAUSAL_LM", "init_lora_weights": true, "qalora_group_size": 16,
            "megatron_core": "megatron.core", "bias": "none", "loftq_config": {},
        });
        config[key] = value;
        config
    }

    #[test]
    fn what_the_decoder_lacks_is_refused_by_name() {
        for (key, value) in [
            ("use_dora", json!(true)),
            ("lora_bias", json!(true)),
            ("bias", json!("lora_only")),
            ("alora_invocation_tokens", json!([510])),
            ("use_qalora", json!(true)),
            ("layer_replication", json!([[0, 2], [1, 2]])),
            ("megatron_config", json!({ "a": 1 })),
            ("trainable_token_indices", json!([1, 2])),
            ("target_parameters", json!(["experts"])),
            ("use_bdlora", json!({ "nblocks": 2 })),
            ("kasa_config", json!({ "beta": 1.0 })),
            ("monteclora_config", json!({ "num_samples": 8 })),
            ("arrow_config", json!({ "top_k": 3 })),
            ("fan_in_fan_out", json!(true)),
            ("modules_to_save", json!(["norm"])),
            ("init_lora_weights", json!("pissa")),
            ("init_lora_weights", json!("pissa_niter_4")),
            ("init_lora_weights", json!("olora")),
            ("init_lora_weights", json!("corda")),
            ("init_lora_weights", json!("loftq")),
            ("init_lora_weights", json!("lora_ga")),
            ("init_lora_weights", json!("of_next_year")),
            ("peft_type", json!("ADALORA")),
            ("task_type", json!("TOKEN_CLS")),
            ("r", json!(0)),
            ("r", json!("4")),
            ("lora_alpha", Value::Null),
            ("use_rslora", json!("yes")),
            ("rank_pattern", json!({ "q_proj": "2" })),
            ("use_dorra", json!(true)),
            ("of_next_year", json!({ "a": 1 })),
        ] {
            let error = format!("{:#}", AdapterConfig::of(&with(key, value)).unwrap_err());
            assert!(error.contains(key), "{key}: {error}");
        }
    }

    #[test]
    fn what_says_nothing_of_the_result_is_read() {
        for (key, value) in [
            ("init_lora_weights", json!("gaussian")),
            ("init_lora_weights", json!("eva")),
            ("init_lora_weights", json!(false)),
            ("inference_mode", json!(false)),
            ("revision", json!("main")),
            ("auto_mapping", json!({ "base_model_class": "Qwen2ForCausalLM" })),
            ("modules_to_save", json!(["model.embed_tokens", "lm_head"])),
            ("use_dora", json!(false)),
            ("bias", json!("none")),
            ("lora_dropout", json!(0.05)),
        ] {
            let config = AdapterConfig::of(&with(key, value)).unwrap();
            assert!(config.warnings.is_empty(), "{key}: {:?}", config.warnings);
        }
        for key in ["eva_config", "corda_config", "velora_config"] {
            let config = AdapterConfig::of(&with(key, json!({ "a": 1 }))).unwrap();
            assert!(config.warnings[0].contains(key));
        }
        let config = AdapterConfig::of(&with("of_next_year", Value::Null)).unwrap();
        assert!(config.warnings[0].contains("of_next_year"));
    }
}
