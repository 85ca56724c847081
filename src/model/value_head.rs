//! A scalar head on hidden states: `s = w·h + b`. Reward models score with it (one score a sequence),
//! value models predict returns (one value a token).
//!
//! Its file is `value_head.safetensors` with `v_head.summary.weight` `[1, hidden]` and
//! `v_head.summary.bias` `[1]`, as TRL's and ms-swift's; `score.weight`, as transformers' sequence
//! classifiers have it, is read too.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};

use super::param::{Param, Trained, collect};
use super::weights::write_safetensors;
use crate::backend::lanes::{dot, wide};
use crate::backend::random::{Purpose, Stream};
use crate::backend::storage::{update, view};
use crate::backend::weights_file::WeightFiles;

const WEIGHT: &str = "v_head.summary.weight";
const BIAS: &str = "v_head.summary.bias";
const CLASSIFIER_WEIGHT: &str = "score.weight";

#[derive(Debug, Clone)]
pub struct ValueHead {
    /// `[1, hidden]`.
    pub weight: Param,
    /// `[1]`.
    pub bias: Param,
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
    pub fn new(hidden_size: usize, range: f64, seed: u64, part: TrainedPart) -> Result<Self> {
        let stream = Stream::new(seed, Purpose::ValueHead);
        let values = (0..hidden_size).map(|i| (range * stream.normal(i as u64)) as f32);
        let weight = Tensor::from_iter(values, &Device::Cpu)?.reshape((1, hidden_size))?;
        Self::of(weight, Tensor::zeros(1, DType::F32, &Device::Cpu)?, part)
    }

    /// Reads a head. Errors if the file has none, or one of another width.
    pub fn read(path: &Path, hidden_size: usize, part: TrainedPart) -> Result<Self> {
        let files = WeightFiles::open(&[path.to_path_buf()])
            .with_context(|| format!("cannot read the head `{}`", path.display()))?;
        let Some(name) = [WEIGHT, CLASSIFIER_WEIGHT].into_iter().find(|name| files.contains(name)) else {
            bail!("`{}` has neither `{WEIGHT}` nor `{CLASSIFIER_WEIGHT}`", path.display())
        };
        let weight = files.load(name)?;
        if weight.dims() != [1, hidden_size] {
            bail!(
                "`{name}` in `{}` is {:?}; a head of this model is [1, {hidden_size}]",
                path.display(),
                weight.dims()
            )
        }
        // a bias that is not trained in a head that is: it is to be 0
        let bias = match files.contains(BIAS) && part != TrainedPart::Weight {
            true => files.load(BIAS)?,
            false => Tensor::zeros(1, DType::F32, &Device::Cpu)?,
        };
        if bias.dims() != [1] {
            bail!("`{BIAS}` in `{}` is {:?}, not [1]", path.display(), bias.dims())
        }
        Self::of(weight, bias, part)
    }

    fn of(weight: Tensor, bias: Tensor, part: TrainedPart) -> Result<Self> {
        Ok(ValueHead {
            weight: Param::new(weight, part != TrainedPart::Nothing)?,
            bias: Param::new(bias, part == TrainedPart::WeightAndBias)?,
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
        let width = hidden.dim(1)?;
        let (rows, weight, bias) = (view(hidden)?, view(&self.weight.value)?, view(&self.bias.value)?);
        let score = |row: &[f32]| {
            f64::from(wide(
                #[inline(always)]
                || dot(row, &weight),
            )) + f64::from(bias[0])
        };
        Ok(rows.chunks_exact(width).map(score).collect())
    }

    /// Adds the gradients of what is trained; `slopes` is ∂ loss / ∂ score, `[rows]`. Returns ∂ loss /
    /// ∂ hidden, `[rows, hidden]`.
    pub fn backward(&self, hidden: &Tensor, slopes: &[f64]) -> Result<Tensor> {
        let (rows, width) = hidden.dims2()?;
        if let Some(grad) = &self.weight.grad {
            let hidden = view(hidden)?;
            // summed in float64: slopes of a pair nearly cancel
            let mut sums = vec![0f64; width];
            for (row, slope) in hidden.chunks_exact(width).zip(slopes) {
                sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += slope * f64::from(*x));
            }
            update(grad, |grad| {
                grad.iter_mut().zip(&sums).for_each(|(g, sum)| *g += *sum as f32);
                Ok(())
            })?;
        }
        if let Some(grad) = &self.bias.grad {
            let sum: f64 = slopes.iter().sum();
            update(grad, |grad| {
                grad[0] += sum as f32;
                Ok(())
            })?;
        }
        let weight = view(&self.weight.value)?;
        let mut d_hidden = Vec::with_capacity(rows * width);
        for slope in slopes {
            d_hidden.extend(weight.iter().map(|w| (slope * f64::from(*w)) as f32));
        }
        Ok(Tensor::from_vec(d_hidden, (rows, width), &Device::Cpu)?)
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
        let head = ValueHead::new(3, 0.5, 1, TrainedPart::WeightAndBias).unwrap();
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
        let head = ValueHead::new(4, 0.5, 1, TrainedPart::Nothing).unwrap();
        head.save(&path).unwrap();
        let again = ValueHead::read(&path, 4, TrainedPart::Nothing).unwrap();
        let values = |head: &ValueHead| head.weight.value.to_vec2::<f32>().unwrap();
        assert_eq!(values(&head), values(&again));
        let error = ValueHead::read(&path, 5, TrainedPart::Nothing).unwrap_err().to_string();
        assert!(error.contains("a head of this model is [1, 5]"), "{error}");
        let score = BTreeMap::from([(CLASSIFIER_WEIGHT.to_string(), head.weight.value.clone())]);
        write_safetensors(&score, &path).unwrap();
        assert_eq!(values(&head), values(&ValueHead::read(&path, 4, TrainedPart::Nothing).unwrap()));
    }
}
