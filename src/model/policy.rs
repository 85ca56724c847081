//! A model ready to train or to be asked: base weights, an adapter, a tuner.

use std::collections::HashMap;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};

use super::artifact::Artifact;
use super::decoder::Decoder;
use super::folder::ModelFolder;
use super::modules::ModuleMut;
use super::param::Param;
use super::tuner::Tuner;
use super::tuner::adapter::{Adapter, AdapterShape, Difference};
use super::tuner::lora::{load_adapter, new_adapter};
use super::weights::build;
use crate::backend::Compute;

/// Opens models. Those on one base share its frozen weights, which are read once.
#[derive(Clone, Default)]
pub struct Models {
    compute: Compute,
    frozen: HashMap<PathBuf, Decoder>,
}

impl Models {
    /// Models on the device and in the float type of `compute`.
    pub fn at(compute: &Compute) -> Self {
        Models { compute: compute.clone(), frozen: HashMap::new() }
    }

    /// The base without its adapter, nothing trained.
    fn base(&mut self, input: &Artifact) -> Result<Decoder> {
        if let Some(decoder) = self.frozen.get(&input.base) {
            return Ok(decoder.clone());
        }
        let decoder = self.build(input, false)?;
        self.frozen.insert(input.base.clone(), decoder.clone());
        Ok(decoder)
    }

    /// A sequence classifier has a head for its scores, and none for tokens unless that is tied.
    fn build(&self, input: &Artifact, train: bool) -> Result<Decoder> {
        let folder = ModelFolder::open(&input.base)?;
        build(folder.config.clone(), &folder.weights()?, train, &self.compute)
    }

    /// The model as it is, nothing trained.
    pub fn frozen(&mut self, input: &Artifact) -> Result<Decoder> {
        let decoder = self.base(input)?;
        match &input.adapter {
            Some(adapter) => load_adapter(decoder, adapter, 0.0, false),
            None => Ok(decoder),
        }
    }

    /// The model with what `tuner` says trained: an adapter (the one it came with, or a new one), or every
    /// weight (an adapter it came with is merged first).
    /// Errors if the adapter that it came with is of another shape than the tuner's.
    pub fn trained(&mut self, input: &Artifact, tuner: &Tuner, seed: u64) -> Result<Decoder> {
        if let (Some(own), Some(adapter)) = (AdapterShape::of(tuner), &input.adapter) {
            let theirs = AdapterShape::of_stored(&Adapter::open(adapter)?);
            if let Some(Difference { key, own, theirs }) = own.differences(&theirs).pop() {
                bail!(
                    "this stage continues the adapter `{}`, so `{key}` must be the same: `{own}` here, \
                     `{theirs}` there",
                    adapter.display()
                )
            }
        }
        self.continued(input, tuner, seed)
    }

    /// As [`Models::trained`], but an adapter that the model came with keeps its own shape.
    pub fn continued(&mut self, input: &Artifact, tuner: &Tuner, seed: u64) -> Result<Decoder> {
        match (tuner, &input.adapter) {
            (Tuner::Full, None) => self.build(input, true),
            (Tuner::Full, Some(_)) => train_merged(self.frozen(input)?),
            (Tuner::Lora(lora), None) => new_adapter(self.base(input)?, lora, seed),
            (Tuner::Lora(lora), Some(adapter)) => {
                load_adapter(self.base(input)?, adapter, lora.dropout, true)
                    .with_context(|| format!("cannot continue the adapter `{}`", adapter.display()))
            }
        }
    }
}

/// Every weight trained, LoRA merged in. Nothing is shared with the model that it was.
fn train_merged(mut decoder: Decoder) -> Result<Decoder> {
    let compute = decoder.compute();
    let train = |param: &mut Param| -> Result<()> {
        *param = Param::trained(param.value.copy()?)?;
        Ok(())
    };
    for module in decoder.modules_mut() {
        match module {
            ModuleMut::Table(param) => train(param)?,
            ModuleMut::Norm(norm) => train(&mut norm.weight)?,
            ModuleMut::Linear(linear) => {
                linear.weight = Param::at(&compute, linear.merged_full()?, true)?;
                linear.bias.as_mut().map(train).transpose()?;
                linear.lora = None;
            }
        }
    }
    Ok(decoder)
}
