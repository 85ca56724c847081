//! A model from random weights, as a folder in Hugging Face layout.

use std::path::Path;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::config::Config;
use super::result::save_model;
use super::spec::ScratchSpec;
use super::weights::{Weights, build};
use crate::backend::Compute;
use crate::backend::compute::Dtype;
use crate::random::{Purpose, Stream};

/// Tokens that the model's config names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vocabulary {
    pub size: usize,
    pub eos: Option<u32>,
    pub pad: Option<u32>,
}

/// Normal weights of standard deviation `initializer_range`, norms 1, biases 0, as transformers
/// initialises. A weight depends on the seed and its name alone.
struct RandomWeights {
    seed: u64,
    deviation: f64,
    dtype: DType,
}

impl Weights for RandomWeights {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let n: usize = shape.iter().product();
        let stream = Stream::new(self.seed, Purpose::Weights).name(name);
        let values: Vec<f32> = match name {
            _ if name.ends_with("norm.weight") => vec![1.0; n],
            _ if name.ends_with(".bias") => vec![0.0; n],
            _ => {
                let normal = |i: u64| (self.deviation * stream.normal(i)) as f32;
                (0..n).into_par_iter().with_min_len(1 << 12).map(|i| normal(i as u64)).collect()
            }
        };
        Ok(Tensor::from_vec(values, shape, &Device::Cpu)?.to_dtype(self.dtype)?)
    }
}

/// Writes `config.json` and, in `dtype`, `model.safetensors` into an existing folder, which holds the tokenizer.
pub fn create(
    spec: &ScratchSpec,
    vocabulary: Vocabulary,
    seed: u64,
    dtype: Dtype,
    folder: &Path,
) -> Result<()> {
    let config = Config::scratch(spec, vocabulary.size, vocabulary.eos, vocabulary.pad)?;
    let compute = Compute { dtype: dtype.into(), ..Compute::default() };
    let weights = RandomWeights { seed, deviation: config.initializer_range, dtype: compute.dtype };
    save_model(&build(config, &weights, false, &compute)?, None, folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::arch::Architecture;
    use crate::model::artifact::Artifact;
    use crate::model::policy::Models;
    use crate::model::spec::TokenizerSpec;

    #[test]
    fn the_folder_loads_and_its_weights_have_the_spread_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let spec = ScratchSpec {
            architecture: Architecture::Qwen3,
            hidden_size: 32,
            num_hidden_layers: 2,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 16,
            intermediate_size: 64,
            max_position_embeddings: 128,
            rope_theta: 1e4,
            tie_word_embeddings: false,
            initializer_range: 0.05,
            tokenizer: TokenizerSpec::Path("unused".into()),
        };
        let vocabulary = Vocabulary { size: 300, eos: Some(2), pad: Some(0) };
        create(&spec, vocabulary, 3, Dtype::F32, folder.path()).unwrap();
        let decoder = Models::default()
            .frozen(&Artifact { base: folder.path().into(), ..Artifact::default() })
            .unwrap();
        assert_eq!(decoder.config.parameters(), {
            let named = crate::model::weights::named_weights(&decoder).unwrap();
            named.values().map(|w| w.elem_count() as u64).sum::<u64>()
        });
        let values = decoder.embedding.value.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let variance = values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64;
        assert!((variance.sqrt() - 0.05).abs() < 0.002, "{}", variance.sqrt());
        assert_eq!(decoder.final_norm.weight.value.to_vec1::<f32>().unwrap(), vec![1.0; 32]);
    }
}
