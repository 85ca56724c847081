//! LoRA adapters: which modules, first values, and PEFT's files. Source: LoRA (2106.09685), PEFT.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};

use super::LoraSettings;
use super::adapter::{Adapter, AdapterTable, EMBEDDING, HEAD, PREFIX, Places, WEIGHTS, Written, last};
use crate::backend::Compute;
use crate::backend::matmul::matmul_into;
use crate::backend::weights_file::WeightFiles;
use crate::model::config::Config;
use crate::model::decoder::{Decoder, Owner};
use crate::model::linear::Matrices;
use crate::model::param::Param;
use crate::model::weight_table::{WeightRole, weight_table};
use crate::model::weights::write_safetensors;
use crate::random::{Purpose, Stream};

impl LoraSettings {
    /// What `B·A` is multiplied with.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        if self.rslora { self.alpha / rank.sqrt() } else { self.alpha / rank }
    }

    /// Whether a module of the decoder, e.g. `model.layers.0.self_attn.q_proj`, is adapted.
    pub fn adapts(&self, module: &str) -> bool {
        self.target_modules.of_layer().iter().any(|target| target.name() == last(module))
    }

    /// Weights of A and B of a new adapter on a model of `config`.
    pub fn weights(&self, config: &Config) -> u64 {
        let table = weight_table(config);
        let adapted =
            table.iter().filter(|weight| weight.role == WeightRole::Linear && self.adapts(weight.module()));
        let widths: u64 = adapted.map(|weight| (weight.shape[0] + weight.shape[1]) as u64).sum();
        widths.saturating_mul(self.rank as u64)
    }
}

/// A new, trained adapter: A uniform in ±1/√in (Kaiming, a = √5), B zero.
pub fn new_adapter(mut decoder: Decoder, settings: &LoraSettings, seed: u64) -> Result<Decoder> {
    for linear in decoder.linears_mut() {
        let width = linear.weight.value.dim(1)?;
        let bound = (width as f64).sqrt().recip();
        let mut matrices = Vec::new();
        for (part, of_part) in linear.parts.iter().enumerate().filter(|(_, p)| settings.adapts(&p.module)) {
            let stream = Stream::new(seed, Purpose::LoraA).name(&of_part.module);
            let values =
                (0..settings.rank * width).map(|i| ((2.0 * stream.uniform(i as u64) - 1.0) * bound) as f32);
            let a = Tensor::from_iter(values, &Device::Cpu)?.reshape((settings.rank, width))?;
            let b = Tensor::zeros((of_part.rows.len(), settings.rank), DType::F32, &Device::Cpu)?;
            matrices.push(Matrices { part, a, b, alpha: settings.alpha, scale: settings.scale() });
        }
        linear.add_lora(matrices, settings.dropout, true)?;
    }
    Ok(decoder)
}

/// Loads a PEFT folder onto a frozen decoder, to train further (`dropout` then applies) or not. Errors on
/// what [`Adapter::places`] refuses, and on what can be used but not trained further.
pub fn load_adapter(decoder: Decoder, folder: &Path, dropout: f64, train: bool) -> Result<Decoder> {
    let adapter = Adapter::open(folder)?;
    let places = adapter.places(&decoder.config, !decoder.is_headless())?;
    let file = &adapter.file;
    if let (true, Some(why)) = (train, places.only_frozen(&adapter.config)) {
        bail!("`{}`: {why}", file.display())
    }
    let files = WeightFiles::open(std::slice::from_ref(file))
        .with_context(|| format!("cannot read the adapter `{}`", file.display()))?;
    let mut decoder =
        with_tables(decoder, &places, &files, train).with_context(|| format!("`{}`", file.display()))?;
    for linear in decoder.linears_mut() {
        let mut matrices = Vec::new();
        for (part, of_part) in linear.parts.iter().enumerate() {
            if let Some(low) = places.linears.get(&of_part.module) {
                let (a, b) = (files.load(&low.a)?, files.load(&low.b)?);
                matrices.push(Matrices { part, a, b, alpha: low.alpha, scale: low.scale });
            }
        }
        linear.add_lora(matrices, dropout, train)?;
    }
    Ok(decoder)
}

/// Puts what an adapter has for embedding and head in compute. A table that it stores without training it
/// lies where the base's does, so that one tied to it is it too; one of `modules_to_save`, or one that
/// LoRA is on, is no longer tied.
fn with_tables(mut decoder: Decoder, places: &Places, files: &WeightFiles, train: bool) -> Result<Decoder> {
    let compute = decoder.compute();
    let (embedding, head) = (&places.embedding, &places.head);
    let frozen = |table: &AdapterTable| table.stored.as_ref().filter(|_| !table.saved).cloned();
    if let (Some(one), Some(other), None) = (frozen(embedding), frozen(head), &decoder.lm_head)
        && files.load(&one)?.ne(&files.load(&other)?)?.to_dtype(DType::F32)?.sum_all()?.to_scalar::<f32>()?
            > 0.0
    {
        bail!(
            "`{one}` and `{other}` differ, and this model ties them: set `tie_word_embeddings` of the base to false"
        )
    }
    if let Some(name) = frozen(embedding) {
        decoder.embedding = Param::at(&compute, files.stored(&name)?, false)?;
        decoder.brought.embedding = Owner::Adapter;
    }
    if let Some(name) = frozen(head) {
        let stored = Param::at(&compute, files.stored(&name)?, false)?;
        match &mut decoder.lm_head {
            Some(head) => (*head, decoder.brought.head) = (stored, Owner::Adapter),
            None => (decoder.embedding, decoder.brought.embedding) = (stored, Owner::Adapter),
        }
    }
    let alone = |table: &AdapterTable| table.saved || table.low.is_some();
    if decoder.lm_head.is_none() && !decoder.is_headless() && (alone(embedding) || alone(head)) {
        decoder.lm_head = Some(decoder.embedding.clone());
        decoder.brought.head = decoder.brought.embedding;
        decoder.config.untie();
    }
    if let (Some(name), true) = (&embedding.stored, embedding.saved) {
        decoder.embedding = Param::at(&compute, files.stored(name)?, train)?;
        decoder.brought.embedding = Owner::Saved;
    }
    if let (Some(name), true) = (&head.stored, head.saved) {
        decoder.lm_head = Some(Param::at(&compute, files.stored(name)?, train)?);
        decoder.brought.head = Owner::Saved;
    }
    if let Some(low) = &embedding.low {
        let (a, b) = (files.load(&low.a)?.t()?.contiguous()?, files.load(&low.b)?.t()?.contiguous()?);
        decoder.embedding = plus(&decoder.embedding, &a, &b, low.scale)?;
    }
    if let (Some(low), Some(weight)) = (&head.low, &decoder.lm_head) {
        decoder.lm_head = Some(plus(weight, &files.load(&low.b)?, &files.load(&low.a)?, low.scale)?);
    }
    Ok(decoder)
}

/// `weight + scale · left · right`, which is not trained; the factors are float32 on the CPU.
fn plus(weight: &Param, left: &Tensor, right: &Tensor, scale: f64) -> Result<Param> {
    let sum = weight.full().to_device(&Device::Cpu)?.to_dtype(DType::F32)?.copy()?;
    matmul_into(&sum, left, right, scale, true)?;
    Param::at(&Compute::of(&weight.value), sum, false)
}

/// Writes the adapter in PEFT's layout; `base` is what `base_model_name_or_path` will say. With `score`,
/// `[1, hidden]`, it is that of a sequence classifier.
pub fn save_adapter(
    decoder: &Decoder,
    settings: &LoraSettings,
    base: &Path,
    score: Option<&Tensor>,
    folder: &Path,
) -> Result<()> {
    let mut tensors = BTreeMap::new();
    let mut adapted = Vec::new();
    for linear in decoder.linears() {
        let Some(lora) = &linear.lora else { continue };
        for part in &lora.parts {
            let module = &linear.parts[part.part].module;
            let a = lora.a_of(lora.a.full(), part)?.contiguous()?;
            tensors.insert(format!("{PREFIX}{module}.lora_A.weight"), a);
            tensors.insert(format!("{PREFIX}{module}.lora_B.weight"), part.b.full().clone());
            adapted.push((module.as_str(), part.ranks.len(), part.alpha));
        }
    }
    let mut saved = Vec::new();
    for (module, owner, table) in [
        (EMBEDDING, decoder.brought.embedding, &decoder.embedding),
        (HEAD, decoder.brought.head, decoder.lm_head.as_ref().unwrap_or(&decoder.embedding)),
    ] {
        if owner != Owner::Base {
            tensors.insert(format!("{PREFIX}{module}.weight"), table.full().clone());
        }
        if owner == Owner::Saved {
            saved.push(last(module));
        }
    }
    if let Some(score) = score {
        tensors.insert(format!("{PREFIX}score.weight"), score.clone());
        saved.push("score");
    }
    write_safetensors(&tensors, &folder.join(WEIGHTS))?;
    let modules = decoder.linears().flat_map(|l| l.parts.iter().map(|p| p.module.as_str())).collect();
    Written { settings, base, modules, adapted, saved, is_classifier: score.is_some() }.write(folder)
}
