//! A scalar head on hidden states: `s = w·h + b`. Reward models score with it (one score a sequence),
//! value models predict returns (one value per token).
//!
//! Its file is `value_head.safetensors` with `v_head.summary.weight` `[1, hidden]` and
//! `v_head.summary.bias` `[1]`, as TRL's and ms-swift's; `score.weight`, as transformers' sequence
//! classifiers and PEFT's adapters of them have it, is read too. The file's metadata say where the head
//! is that of a sequence classifier, whose scores are read at another place (see [`super::pooling`]).

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor};

use super::config::{Config, TOKEN_CLASSIFIER};
use super::param::{Param, Trained, collect};
use super::tuner::adapter::PREFIX;
use super::weights::write_safetensors;
use crate::backend::Compute;
use crate::backend::header::{StoredTensor, read_header, read_metadata};
use crate::backend::scalar_head;
use crate::backend::weights_file::{WeightFiles, write_tensors};
use crate::json_file;
use crate::random::{Purpose, Stream};

/// The file of a reward model's head, beside its weights.
pub const FILE: &str = "value_head.safetensors";

pub const WEIGHT: &str = "v_head.summary.weight";
const BIAS: &str = "v_head.summary.bias";
/// The weight of a sequence classifier's head. It has no bias.
pub const SCORE: &str = "score.weight";
/// The bias of a token classifier's head, whose weight has the same name.
pub const SCORE_BIAS: &str = "score.bias";
/// Beginnings of the names of heads that score.
pub const HEADS: [&str; 8] = [
    "score.",
    "classifier.",
    "v_head.",
    "value_head.",
    "reward_head.",
    "rm_head.",
    "regression_head.",
    "regression_layer.",
];
/// The key and the value of the metadata of our own file where the head is a sequence classifier's.
const HEAD_OF: (&str, &str) = ("head_of", "sequence classifier");

#[derive(Debug, Clone)]
pub struct ValueHead {
    /// `[1, hidden]`.
    pub weight: Param,
    /// `[1]`.
    pub bias: Param,
    pub format: HeadFormat,
    /// Scores are those of the last token that is not this one; `None`: of the last token.
    pub passed_over: Option<u32>,
}

/// Whose a head is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadFormat {
    /// Our own and TRL's, or a token classifier's, with a bias.
    ValueHead,
    /// A sequence classifier's, without one.
    Classifier,
}

/// A head in a file, by the file's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredHead {
    /// Name of the weight.
    pub name: String,
    pub format: HeadFormat,
    tensor: StoredTensor,
    /// Name and tensor of the bias, where there is one.
    bias: Option<(String, StoredTensor)>,
    /// Names of other tensors of heads in the file.
    others: Vec<String>,
}

impl StoredHead {
    /// The head in the safetensors file at `path`; `None` if it has none. Errors if it cannot be read.
    pub fn find(path: &Path) -> Result<Option<Self>> {
        let mut tensors = read_header(path)?;
        let found = match tensors.contains_key(WEIGHT) {
            true => {
                let (key, classifier) = HEAD_OF;
                let of_classifier = read_metadata(path)?.get(key).is_some_and(|of| of == classifier);
                let format = if of_classifier { HeadFormat::Classifier } else { HeadFormat::ValueHead };
                Some((WEIGHT.to_owned(), format, Some(BIAS)))
            }
            false => tensors.keys().find(|name| is_score(name)).map(|name| match of_token_classifier(path) {
                true => (name.clone(), HeadFormat::ValueHead, Some(SCORE_BIAS)),
                false => (name.clone(), HeadFormat::Classifier, None),
            }),
        };
        let Some((name, format, bias)) = found else { return Ok(None) };
        let bias = bias.and_then(|bias| Some((bias.to_owned(), tensors.remove(bias)?)));
        let tensor = tensors.remove(&name);
        let others = tensors.into_keys().filter(|name| is_of_head(name)).collect();
        Ok(tensor.map(|tensor| StoredHead { name, format, tensor, bias, others }))
    }

    /// `[1, hidden]`, if the head is sound.
    pub fn shape(&self) -> &[usize] {
        &self.tensor.shape
    }

    /// Errors unless it gives one score to a model of that width, and is all of the head that is there.
    pub fn fits(&self, hidden_size: usize) -> Result<()> {
        let Self { name, tensor: StoredTensor { shape, .. }, bias, .. } = self;
        if shape.len() == 2 && shape[0] != 1 {
            bail!(
                "`{name}` is {shape:?}: it scores {} labels, and a reward model has one (`num_labels` = 1)",
                shape[0]
            )
        }
        if *shape != [1, hidden_size] {
            bail!("`{name}` is {shape:?}; a head of this model is [1, {hidden_size}]")
        }
        let weight = std::iter::once((name, &self.tensor));
        for (name, tensor) in weight.chain(bias.iter().map(|(name, tensor)| (name, tensor))) {
            if !tensor.is_float() {
                bail!(
                    "`{name}` is stored as {:?}; a head must be floats: F32, BF16, F16 or F64",
                    tensor.dtype
                )
            }
        }
        if let Some((name, StoredTensor { shape, .. })) = bias
            && *shape != [1]
        {
            bail!("`{name}` is {shape:?}, not [1]")
        }
        let root = root(name);
        let is_more = |other: &&String| self::root(other) == root && own(other) != format!("{root}bias");
        if let Some(other) = self.others.iter().find(is_more) {
            bail!(
                "beside `{name}` there is `{other}`: a head of several layers is not supported; a head is one \
                 matrix [1, hidden]"
            )
        }
        Ok(())
    }

    /// What is to be said of tensors of heads that are not read.
    pub fn warning(&self) -> Option<String> {
        let names: Vec<String> = self.others.iter().map(|name| format!("`{name}`")).collect();
        (!names.is_empty()).then(|| {
            let what = if self.format == HeadFormat::Classifier { ", as in transformers" } else { "" };
            format!("the head is `{}`; not read beside it{what}: {}", self.name, names.join(", "))
        })
    }
}

/// A tensor's name without what PEFT puts before it.
fn own(name: &str) -> &str {
    name.strip_prefix(PREFIX).unwrap_or(name)
}

/// A name up to its first dot, with it.
fn root(name: &str) -> &str {
    let name = own(name);
    name.find('.').map_or(name, |dot| &name[..=dot])
}

/// Whether a tensor belongs to a head that scores, by its name.
pub fn is_of_head(name: &str) -> bool {
    HEADS.iter().any(|beginning| own(name).starts_with(beginning))
}

/// Whether a tensor is the weight of a head that can be read.
pub fn is_head(name: &str) -> bool {
    name == WEIGHT || is_score(name)
}

/// Whether a tensor is the weight of a sequence classifier's head: in a model's folder, or in an adapter
/// of PEFT's, which trains it whole.
fn is_score(name: &str) -> bool {
    let own = own(name);
    own == SCORE || own == "score.modules_to_save.weight" || own == "score.modules_to_save.default.weight"
}

/// Whether the weights at `path` are those of a token classifier, by the `config.json` beside them.
fn of_token_classifier(path: &Path) -> bool {
    let config = path.parent().and_then(|folder| json_file::read(&folder.join("config.json")).ok());
    config.is_some_and(|config| Config::is_of_class(&config, TOKEN_CLASSIFIER))
}

/// Which parameters of a head are trained. With `Weight` alone the bias is 0.
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
        let bias = match stored.bias.filter(|_| part != TrainedPart::Weight) {
            Some((name, _)) => files.load(&name)?,
            None => Tensor::zeros(1, DType::F32, &Device::Cpu)?,
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
        let compute = Compute { device: device.clone(), dtype: DType::F32 };
        Ok(ValueHead {
            weight: Param::at(&compute, weight, part != TrainedPart::Nothing)?,
            bias: Param::at(&compute, bias, part == TrainedPart::WeightAndBias)?,
            format,
            passed_over: None,
        })
    }

    pub fn save(&self, path: &Path) -> Result<()> {
        let tensors = BTreeMap::from([
            (WEIGHT.to_string(), self.weight.value.clone()),
            (BIAS.to_string(), self.bias.value.clone()),
        ]);
        if self.format == HeadFormat::ValueHead {
            return write_safetensors(&tensors, path);
        }
        let (key, classifier) = HEAD_OF;
        let metadata = HashMap::from([("format", "pt"), (key, classifier)]);
        let metadata = metadata.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        write_tensors(tensors.iter(), metadata, path)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    /// hidden `[rows, hidden]` → `[rows]`.
    pub fn scores(&self, hidden: &Tensor) -> Result<Vec<f64>> {
        Ok(scalar_head::scores(hidden, &self.weight.value, &self.bias.value)?)
    }

    /// Adds the gradients of what is trained; `d_scores` is ∂ loss / ∂ score, `[rows]`. Returns ∂ loss /
    /// ∂ hidden, `[rows, hidden]`.
    pub fn backward(&self, hidden: &Tensor, d_scores: &[f64]) -> Result<Tensor> {
        let (weight, bias) = (self.weight.grad.as_ref(), self.bias.grad.as_ref());
        Ok(scalar_head::scores_backward(hidden, &self.weight.value, d_scores, weight, bias)?)
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
