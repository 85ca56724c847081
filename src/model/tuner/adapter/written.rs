//! `adapter_config.json` as PEFT writes it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use super::config::CONFIG;
use super::modules::last;
use crate::json_file;
use crate::model::tuner::LoraSettings;

/// What a new `adapter_config.json` says beside the settings.
pub struct Written<'a> {
    pub settings: &'a LoraSettings,
    /// `base_model_name_or_path`.
    pub base: &'a Path,
    /// Every linear module of the model.
    pub modules: Vec<&'a str>,
    /// Module, rank and alpha of each adapted one.
    pub adapted: Vec<(&'a str, usize, f64)>,
    /// `modules_to_save`.
    pub saved: Vec<&'a str>,
    pub is_classifier: bool,
}

impl Written<'_> {
    /// Writes the file into `folder`.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let Written { settings, modules, adapted, saved, .. } = self;
        let ranks = adapted.iter().map(|(module, rank, _)| (*module, json!(rank)));
        let alphas = adapted.iter().map(|(module, _, alpha)| (*module, json!(alpha)));
        let config = json!({
            "alpha_pattern": pattern(modules, alphas, &json!(settings.alpha)),
            "base_model_name_or_path": self.base,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "lora_alpha": settings.alpha,
            "lora_dropout": settings.dropout,
            "modules_to_save": (!saved.is_empty()).then_some(saved),
            "peft_type": "LORA",
            "r": settings.rank,
            "rank_pattern": pattern(modules, ranks, &json!(settings.rank)),
            "target_modules": shortest(modules, adapted.iter().map(|(module, ..)| *module).collect()),
            "task_type": if self.is_classifier { "SEQ_CLS" } else { "CAUSAL_LM" },
            "use_dora": false,
            "use_rslora": settings.rslora,
        });
        json_file::write(&folder.join(CONFIG), &config)
    }
}

/// `rank_pattern` or `alpha_pattern`: what differs from `default`, by the shortest names that say it.
fn pattern<'a>(
    all: &[&str],
    values: impl Iterator<Item = (&'a str, Value)>,
    default: &Value,
) -> BTreeMap<String, Value> {
    let mut modules: BTreeMap<String, (Value, BTreeSet<&str>)> = BTreeMap::new();
    for (module, value) in values.filter(|(_, value)| value != default) {
        modules.entry(value.to_string()).or_insert((value, BTreeSet::new())).1.insert(module);
    }
    let names = modules.into_values().flat_map(|(value, modules)| {
        shortest(all, modules).into_iter().map(move |name| (name, value.clone()))
    });
    names.collect()
}

/// Names that pick `modules` out of `all`: the last part, where all modules with it are picked, and whole
/// names else.
fn shortest(all: &[&str], modules: BTreeSet<&str>) -> BTreeSet<String> {
    let whole = |name: &str| all.iter().filter(|module| last(module) == name).all(|m| modules.contains(m));
    let name = |module: &&str| String::from(if whole(last(module)) { last(module) } else { module });
    modules.iter().map(name).collect()
}
