//! A scalar head on hidden states: `s = w·h + b`. Reward models score with it (one score a sequence),
//! value models predict returns (one value a token).
//!
//! Its file is `value_head.safetensors` with `v_head.summary.weight` `[1, hidden]` and
//! `v_head.summary.bias` `[1]`, as TRL's and ms-swift's; `score.weight`, as transformers' sequence
//! classifiers and PEFT's adapters of them have it, is read too.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};

use super::param::{Param, Trained, collect};
use super::tuner::adapter::PREFIX;
use super::weights::write_safetensors;
use crate::backend::Compute;
use crate::backend::header::read_header;
use crate::backend::scalar_head;
use crate::backend::weights_file::WeightFiles;
use crate::random::{Purpose, Stream};

/// The file of a reward model's head, beside its weights.
pub const FILE: &str = "value_head.safetensors";

const WEIGHT: &str = "v_head.summary.weight";
const BIAS: &str = "v_head.summary.bias";
/// The weight of a sequence classifier's head. It has no bias.
pub const SCORE: &str = "score.weight";

#[derive(Debug, Clone)]
pub struct ValueHead {
    /// `[1, hidden]`.
    pub weight: Param,
    /// `[1]`.
    pub bias: Param,
    pub format: HeadFormat,
}

/// How a head is kept on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFormat {
    /// `v_head.summary`, with a bias.
    ValueHead,
    /// `score.weight` of a sequence classifier, without one.
    Classifier,
}

/// A head in a file, by the file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// Name of the weight.
    pub name: String,
    pub shape: Vec<usize>,
    pub format: HeadFormat,
    /// Shape of the bias, where there is one.
    bias: Option<Vec<usize>>,
}

impl StoredHead {
    /// The head in the safetensors file at `path`; `None` if it has none. Errors if it cannot be read.
    pub fn find(path: &Path) -> Result<Option<Self>> {
        let mut tensors = read_header(path)?;
        let found = match tensors.contains_key(WEIGHT) {
            true => Some((WEIGHT.to_owned(), HeadFormat::ValueHead)),
            false => tensors.keys().find(|n| is_score(n)).map(|n| (n.clone(), HeadFormat::Classifier)),
        };
        Ok(found.and_then(|(name, format)| {
            let bias = tensors.get(BIAS).map(|tensor| tensor.shape.clone());
            let shape = tensors.remove(&name)?.shape;
            Some(StoredHead { name, shape, format, bias })
        }))
    }

    /// Errors unless it gives one score to a model of that width.
    pub fn fits(&self, hidden_size: usize) -> Result<()> {
        let Self { name, shape, bias, .. } = self;
        if shape.len() == 2 && shape[0] != 1 {
            bail!(
                "`{name}` is {shape:?}: it scores {} labels, and a reward model has one (`num_labels` = 1)",
                shape[0]
            )
        }
        if *shape != [1, hidden_size] {
            bail!("`{name}` is {shape:?}; a head of this model is [1, {hidden_size}]")
        }
        match bias {
            Some(shape) if *shape != [1] => bail!("`{BIAS}` is {shape:?}, not [1]"),
            _ => Ok(()),
        }
    }
}

/// Whether a tensor is the weight of a sequence classifier's head: in a model's folder, or in an adapter
/// of PEFT's, which trains it whole.
fn is_score(name: &str) -> bool {
    let own = name.strip_prefix(PREFIX).unwrap_or(name);
    own == SCORE || own == "score.modules_to_save.weight" || own == "score.modules_to_save.default.weight"
}

/// What of a head is trained. With `Weight` alone the bias is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrainedPart {
    Nothing,
    Weight,
    WeightAndBias,
}

impl ValueHead {
    /// Random weights of standard deviation `range`, as transformers makes a classifier's; bias 0.
    pub fn new(
        hidden_size: usize,
        range: f64,
        seed: u64,
        part: TrainedPart,
        device: &Device,
    ) -> Result<Self> {
        let stream = Stream::new(seed, Purpose::ValueHead);
        let values = (0..hidden_size).map(|i| (range * stream.normal(i as u64)) as f32);
        let weight = Tensor::from_iter(values, &Device::Cpu)?.reshape((1, hidden_size))?;
        let bias = Tensor::zeros(1, DType::F32, &Device::Cpu)?;
        Self::of(weight, bias, HeadFormat::ValueHead, part, device)
    }

    /// Reads a head. Errors if the file has none, or one of another width or of several labels.
    pub fn read(path: &Path, hidden_size: usize, part: TrainedPart, device: &Device) -> Result<Self> {
        let context = || format!("cannot read the head `{}`", path.display());
        let Some(stored) = StoredHead::find(path).with_context(context)? else {
            bail!("`{}` has neither `{WEIGHT}` nor `{SCORE}`", path.display())
        };
        stored.fits(hidden_size).with_context(context)?;
        let files = WeightFiles::open(&[path.to_path_buf()]).with_context(context)?;
        let weight = files.load(&stored.name)?;
        // a bias that is not trained in a head that is: it is to be 0
        let bias = match stored.bias.is_some() && part != TrainedPart::Weight {
            true => files.load(BIAS)?,
            false => Tensor::zeros(1, DType::F32, &Device::Cpu)?,
        };
        Self::of(weight, bias, stored.format, part, device)
    }

    /// Float32 with decoders of any float type.
    fn of(
        weight: Tensor,
        bias: Tensor,
        format: HeadFormat,
        part: TrainedPart,
        device: &Device,
    ) -> Result<Self> {
        let place = Compute { device: device.clone(), dtype: DType::F32 };
        Ok(ValueHead {
            weight: Param::at(&place, weight, part != TrainedPart::Nothing)?,
            bias: Param::at(&place, bias, part == TrainedPart::WeightAndBias)?,
            format,
        })
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = BTreeMap::from([
            (WEIGHT.to_string(), self.weight.value.clone()),
            (BIAS.to_string(), self.bias.value.clone()),
        ]);
        write_safetensors(&tensors, path)
    }

    /// hidden `[rows, hidden]` → `[rows]`.
    pub fn scores(&self, hidden: &Tensor) -> Result<Vec<f64>> {
        Ok(scalar_head::scores(hidden, &self.weight.value, &self.bias.value)?)
    }

    /// Adds the gradients of what is trained; `slopes` is ∂ loss / ∂ score, `[rows]`. Returns ∂ loss /
    /// ∂ hidden, `[rows, hidden]`.
    pub fn backward(&self, hidden: &Tensor, slopes: &[f64]) -> Result<Tensor> {
        let (weight, bias) = (self.weight.grad.as_ref(), self.bias.grad.as_ref());
        Ok(scalar_head::scores_backward(hidden, &self.weight.value, slopes, weight, bias)?)
    }

    pub fn trained(&self) -> Vec<Trained<'_>> {
        let mut found = Vec::new();
        collect(&mut found, || WEIGHT.into(), &self.weight, true);
        collect(&mut found, || BIAS.into(), &self.bias, false);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_are_those_of_a_linear_map() {
        let head = ValueHead::new(3, 0.5, 1, TrainedPart::WeightAndBias, &Device::Cpu).unwrap();
        let hidden = Tensor::new(&[[1f32, 2.0, -1.0], [0.5, 0.0, 3.0]], &Device::Cpu).unwrap();
        let w = head.weight.value.to_vec2::<f32>().unwrap().remove(0);
        let scores = head.scores(&hidden).unwrap();
        assert!((scores[1] - f64::from(0.5 * w[0] + 3.0 * w[2])).abs() < 1e-6);
        let d_hidden = head.backward(&hidden, &[2.0, -1.0]).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(d_hidden[1], w.iter().map(|w| -w).collect::<Vec<_>>());
        let grads = [&head.weight, &head.bias]
            .map(|p| p.grad.as_ref().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap());
        assert_eq!(grads, [vec![1.5, 4.0, -5.0], vec![1.0]]);
    }

    #[test]
    fn a_head_reads_back_and_a_classifiers_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("value_head.safetensors");
        let head = ValueHead::new(4, 0.5, 1, TrainedPart::Nothing, &Device::Cpu).unwrap();
        head.save(&path).unwrap();
        let again = ValueHead::read(&path, 4, TrainedPart::Nothing, &Device::Cpu).unwrap();
        let values = |head: &ValueHead| head.weight.value.to_vec2::<f32>().unwrap();
        assert_eq!(values(&head), values(&again));
        let error = ValueHead::read(&path, 5, TrainedPart::Nothing, &Device::Cpu).unwrap_err();
        let error = format!("{error:#}");
        assert!(error.contains("a head of this model is [1, 5]"), "{error}");
        let score = BTreeMap::from([(SCORE.to_string(), head.weight.value.clone())]);
        write_safetensors(&score, &path).unwrap();
        assert_eq!(
            values(&head),
            values(&ValueHead::read(&path, 4, TrainedPart::Nothing, &Device::Cpu).unwrap())
        );
    }
}
