//! LoRA adapters: which modules, first values, and PEFT's files. Source: LoRA (2106.09685), PEFT.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};
use serde_json::{Value, json};

use super::decoder::Decoder;
use super::linear::Linear;
use super::weights::write_safetensors;
use crate::backend::random::{Purpose, Stream};
use crate::backend::weights_file::WeightFiles;
use crate::plan::settings::{LoraSettings, TargetModules};

const PREFIX: &str = "base_model.model.";

/// What PEFT keeps beside the adapter of a sequence classifier. The decoder has no place for it; a
/// reward model's head is `[model] head`.
const HEADS: [&str; 2] = ["score", "classifier"];

impl LoraSettings {
    /// What `B·A` is multiplied with.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        if self.rslora { self.alpha / rank.sqrt() } else { self.alpha / rank }
    }

    /// Whether a module of the decoder, e.g. `model.layers.0.self_attn.q_proj`, is adapted.
    pub fn adapts(&self, module: &str) -> bool {
        let last = module.rsplit('.').next().unwrap_or(module);
        match &self.target_modules {
            TargetModules::All => true,
            TargetModules::Default => ["q_proj", "k_proj", "v_proj"].contains(&last),
            TargetModules::List(names) => names.iter().any(|n| n == last || n == module),
        }
    }
}

/// Applies `f` to every linear of the decoder.
fn map_linears(mut decoder: Decoder, f: impl Fn(Linear) -> Result<Linear>) -> Result<Decoder> {
    let layers = std::mem::take(&mut decoder.layers);
    decoder.layers = layers
        .into_iter()
        .map(|mut layer| {
            layer.attention.q = f(layer.attention.q)?;
            layer.attention.kv = f(layer.attention.kv)?;
            layer.attention.o = f(layer.attention.o)?;
            layer.gate_up = f(layer.gate_up)?;
            layer.down = f(layer.down)?;
            Ok(layer)
        })
        .collect::<Result<_>>()?;
    Ok(decoder)
}

/// A new, trained adapter: A uniform in ±1/√in (Kaiming, a = √5), B zero. Errors if
/// `target_modules` names no module of the model.
pub fn new_adapter(decoder: Decoder, settings: &LoraSettings, seed: u64) -> Result<Decoder> {
    if let TargetModules::List(names) = &settings.target_modules {
        let modules: Vec<String> =
            decoder.linears().flat_map(|l| l.parts.iter().map(|p| p.module.clone())).collect();
        for name in names {
            if !modules.iter().any(|m| m == name || m.ends_with(&format!(".{name}"))) {
                bail!("lora.target_modules names `{name}`, which this model does not have")
            }
        }
    }
    map_linears(decoder, |linear| {
        let width = linear.weight.value.dim(1)?;
        let bound = (width as f64).sqrt().recip();
        let mut matrices = Vec::new();
        for (index, part) in linear.parts.iter().enumerate().filter(|(_, p)| settings.adapts(&p.module)) {
            let stream = Stream::new(seed, Purpose::LoraA).name(&part.module);
            let values =
                (0..settings.rank * width).map(|i| ((2.0 * stream.uniform(i as u64) - 1.0) * bound) as f32);
            let a = Tensor::from_iter(values, &Device::Cpu)?.reshape((settings.rank, width))?;
            let b = Tensor::zeros((part.rows.len(), settings.rank), candle_core::DType::F32, &Device::Cpu)?;
            matrices.push((index, a, b));
        }
        linear.with_lora(matrices, settings.scale(), settings.dropout, true)
    })
}

/// What `adapter_config.json` says of an adapter.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterConfig {
    pub rank: usize,
    pub alpha: f64,
    pub rslora: bool,
}

impl AdapterConfig {
    /// Errors on what the decoder cannot do (DoRA, per-module ranks, other kinds of adapter).
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("adapter_config.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let config: Value =
            serde_json::from_str(&text).with_context(|| format!("`{}` is not JSON", path.display()))?;
        let on = |key: &str| match &config[key] {
            Value::Null | Value::Bool(false) => false,
            Value::Object(map) => !map.is_empty(),
            Value::Array(list) => !list.is_empty(),
            Value::String(text) => text != "none",
            _ => true,
        };
        let saved = config["modules_to_save"].as_array().into_iter().flatten();
        let is_head = |module: &Value| module.as_str().is_some_and(|name| HEADS.contains(&name));
        let only_heads = saved.clone().all(is_head);
        let unsupported = ["use_dora", "rank_pattern", "alpha_pattern", "bias", "fan_in_fan_out"];
        let other_modules = (!only_heads).then_some("modules_to_save");
        for key in unsupported.into_iter().chain(other_modules) {
            if on(key) {
                bail!("`{}`: `{key}` is not supported", path.display())
            }
        }
        if config["peft_type"].as_str() != Some("LORA") {
            bail!("`{}`: peft_type {} is not supported; supported: LORA", path.display(), config["peft_type"])
        }
        let rank = config["r"].as_u64().with_context(|| format!("`{}` lacks `r`", path.display()))?;
        let alpha = config["lora_alpha"]
            .as_f64()
            .with_context(|| format!("`{}` lacks `lora_alpha`", path.display()))?;
        Ok(AdapterConfig {
            rank: rank as usize,
            alpha,
            rslora: config["use_rslora"].as_bool().unwrap_or(false),
        })
    }
}

/// Loads a PEFT folder onto a frozen decoder, to train further (`dropout` then applies) or not.
pub fn load_adapter(decoder: Decoder, folder: &Path, dropout: f64, train: bool) -> Result<Decoder> {
    let config = AdapterConfig::read(folder)?;
    let scale = LoraSettings {
        rank: config.rank,
        alpha: config.alpha,
        dropout,
        target_modules: TargetModules::All,
        rslora: config.rslora,
    }
    .scale();
    let path = folder.join("adapter_model.safetensors");
    let files = WeightFiles::open(std::slice::from_ref(&path))
        .with_context(|| format!("cannot read the adapter `{}`", path.display()))?;
    let modules: Vec<String> =
        decoder.linears().flat_map(|l| l.parts.iter().map(|p| p.module.clone())).collect();
    let is_head = |name: &str| HEADS.iter().any(|head| name == format!("{PREFIX}{head}.weight"));
    for name in files.names().iter().filter(|name| !is_head(name)) {
        let module =
            name.strip_prefix(PREFIX).and_then(|n| n.rsplit_once(".lora_")).map(|(module, _)| module);
        if !module.is_some_and(|m| modules.iter().any(|known| known == m)) {
            bail!("`{}`: the adapter has `{name}`, which this model has no place for", path.display())
        }
    }
    map_linears(decoder, |linear| {
        let mut matrices = Vec::new();
        let width = linear.weight.value.dim(1)?;
        for (index, part) in linear.parts.iter().enumerate() {
            let name = |side: &str| format!("{PREFIX}{}.lora_{side}.weight", part.module);
            if files.contains(&name("A")) {
                let (a, b) = (files.load(&name("A"))?, files.load(&name("B"))?);
                if a.dims() != [config.rank, width] || b.dims() != [part.rows.len(), config.rank] {
                    bail!(
                        "`{}`: `{}` is {:?} × {:?}, which does not fit",
                        path.display(),
                        part.module,
                        b.dims(),
                        a.dims()
                    )
                }
                matrices.push((index, a, b));
            }
        }
        linear.with_lora(matrices, scale, dropout, train)
    })
}

/// Writes the adapter in PEFT's layout; `base` is what `base_model_name_or_path` will say.
pub fn save_adapter(decoder: &Decoder, settings: &LoraSettings, base: &Path, folder: &Path) -> Result<()> {
    let mut tensors = BTreeMap::new();
    let mut modules = Vec::new();
    for linear in decoder.linears() {
        let Some(lora) = &linear.lora else { continue };
        for part in &lora.parts {
            let module = &linear.parts[part.part].module;
            let a = lora.a_of(lora.a.full(), part)?.contiguous()?;
            tensors.insert(format!("{PREFIX}{module}.lora_A.weight"), a);
            tensors.insert(format!("{PREFIX}{module}.lora_B.weight"), part.b.full().clone());
            modules.push(module.rsplit('.').next().unwrap_or(module).to_string());
        }
    }
    modules.sort_unstable();
    modules.dedup();
    write_safetensors(&tensors, &folder.join("adapter_model.safetensors"))?;
    let config = json!({
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "init_lora_weights": true,
        "lora_alpha": settings.alpha,
        "lora_dropout": settings.dropout,
        "modules_to_save": null,
        "peft_type": "LORA",
        "r": settings.rank,
        "target_modules": modules,
        "task_type": "CAUSAL_LM",
        "use_dora": false,
        "use_rslora": settings.rslora,
    });
    let path = folder.join("adapter_config.json");
    std::fs::write(&path, serde_json::to_string_pretty(&config)? + "\n")
        .with_context(|| format!("cannot write `{}`", path.display()))
}
