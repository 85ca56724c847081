//! Weights in Hugging Face's names: into a decoder, and back.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};

use super::attention::{Attention, HeadNorms};
use super::config::Config;
use super::decoder::{Brought, Decoder};
use super::layer::Layer;
use super::linear::{Linear, Part};
use super::param::Param;
use super::rope::AngleTables;
use crate::backend::Compute;
use crate::backend::attention::Shape;
use crate::backend::weights_file::write_tensors;

/// Something that gives a named tensor on the CPU, of any float type: a file, or random numbers.
pub trait Weights {
    /// Errors if there is none of that name, or its shape is not `shape`.
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor>;

    /// Whether there is one of that name.
    fn has(&self, _name: &str) -> bool {
        true
    }
}

/// Builds a decoder at `place`; every weight is trained or frozen, as `train` says. Weights without a head
/// make a decoder that gives hidden states alone.
pub fn build(config: Config, weights: &dyn Weights, train: bool, place: &Compute) -> Result<Decoder> {
    let (v, h) = (config.vocab_size, config.hidden_size);
    let param = |name: &str, shape: &[usize]| Param::at(place, weights.get(name, shape)?, train);
    let embedding = param("model.embed_tokens.weight", &[v, h])?;
    let layers = (0..config.num_hidden_layers)
        .map(|index| build_layer(&config, index, weights, train, place))
        .collect::<Result<_>>()?;
    let final_norm = param("model.norm.weight", &[h])?;
    let lm_head = match config.tie_word_embeddings || !weights.has("lm_head.weight") {
        true => None,
        false => Some(param("lm_head.weight", &[v, h])?),
    };
    Ok(Decoder {
        config,
        embedding,
        layers,
        final_norm,
        lm_head,
        angles: AngleTables::default(),
        brought: Brought::default(),
    })
}

/// Tensors below each other. Those of several float types, as merged files have them, become float32.
fn joined_rows(tensors: Vec<Tensor>) -> Result<Tensor> {
    let alike = tensors.windows(2).all(|pair| pair[0].dtype() == pair[1].dtype());
    let same = |tensor: Tensor| if alike { Ok(tensor) } else { tensor.to_dtype(DType::F32) };
    let tensors: Vec<Tensor> = tensors.into_iter().map(same).collect::<candle_core::Result<_>>()?;
    Ok(Tensor::cat(&tensors, 0)?)
}

fn build_layer(
    config: &Config,
    index: usize,
    weights: &dyn Weights,
    train: bool,
    place: &Compute,
) -> Result<Layer> {
    let name = format!("model.layers.{index}");
    let (h, i) = (config.hidden_size, config.intermediate_size);
    let (q, k) = (config.query_width(), config.key_width());
    let param = |suffix: &str, shape: &[usize]| {
        Param::at(place, weights.get(&format!("{name}.{suffix}"), shape)?, train)
    };
    let linear = |parts: &[(&str, usize)], width: usize, bias: bool| -> Result<Linear> {
        let mut joined = Vec::new();
        let (mut tensors, mut biases) = (Vec::new(), Vec::new());
        let mut start = 0;
        for &(suffix, rows) in parts {
            let module = format!("{name}.{suffix}");
            tensors.push(weights.get(&format!("{module}.weight"), &[rows, width])?);
            if bias {
                biases.push(weights.get(&format!("{module}.bias"), &[rows])?);
            }
            joined.push(Part { module, rows: start..start + rows });
            start += rows;
        }
        let bias = match biases.is_empty() {
            true => None,
            false => Some(Param::at(place, joined_rows(biases)?, train)?),
        };
        let weight = Param::at(place, joined_rows(tensors)?, train)?;
        Ok(Linear { weight, bias, parts: joined, lora: None })
    };
    let norms = match config.qk_norm() {
        false => None,
        true => Some(HeadNorms {
            q: param("self_attn.q_norm.weight", &[config.head_dim])?,
            k: param("self_attn.k_norm.weight", &[config.head_dim])?,
            eps: config.rms_norm_eps,
        }),
    };
    let bias = config.qkv_bias();
    Ok(Layer {
        attention_norm: param("input_layernorm.weight", &[h])?,
        attention: Attention {
            q: linear(&[("self_attn.q_proj", q)], h, bias)?,
            kv: linear(&[("self_attn.k_proj", k), ("self_attn.v_proj", k)], h, bias)?,
            o: linear(&[("self_attn.o_proj", h)], q, false)?,
            norms,
            shape: Shape {
                heads: config.num_attention_heads,
                kv_heads: config.num_key_value_heads,
                head_dim: config.head_dim,
                window: config.windows[index],
            },
        },
        mlp_norm: param("post_attention_layernorm.weight", &[h])?,
        gate_up: linear(&[("mlp.gate_proj", i), ("mlp.up_proj", i)], h, false)?,
        down: linear(&[("mlp.down_proj", h)], i, false)?,
        eps: config.rms_norm_eps,
        name,
    })
}

/// All weights in Hugging Face's names, LoRA merged in where there is one.
pub fn named_weights(decoder: &Decoder) -> Result<BTreeMap<String, Tensor>> {
    let mut named = BTreeMap::new();
    for_each_weight(decoder, &mut |name, weight| {
        named.insert(name.to_owned(), weight.clone());
        Ok(())
    })?;
    Ok(named)
}

/// Calls `f` with the name and the value of every weight, in a fixed order, LoRA merged in where there
/// is one.
pub fn for_each_weight(decoder: &Decoder, f: &mut impl FnMut(&str, &Tensor) -> Result<()>) -> Result<()> {
    f("model.embed_tokens.weight", &decoder.embedding.value)?;
    f("model.norm.weight", &decoder.final_norm.value)?;
    if let Some(head) = &decoder.lm_head {
        f("lm_head.weight", &head.value)?;
    }
    for layer in &decoder.layers {
        let mut norm =
            |suffix: &str, param: &Param| f(&format!("{}.{suffix}.weight", layer.name), &param.value);
        norm("input_layernorm", &layer.attention_norm)?;
        norm("post_attention_layernorm", &layer.mlp_norm)?;
        if let Some(norms) = &layer.attention.norms {
            norm("self_attn.q_norm", &norms.q)?;
            norm("self_attn.k_norm", &norms.k)?;
        }
    }
    for linear in decoder.linears() {
        let weight = linear.merged()?;
        for part in &linear.parts {
            let rows = |t: &Tensor| t.narrow(0, part.rows.start, part.rows.len())?.contiguous();
            f(&format!("{}.weight", part.module), &rows(&weight)?)?;
            if let Some(bias) = &linear.bias {
                f(&format!("{}.bias", part.module), &rows(&bias.value)?)?;
            }
        }
    }
    Ok(())
}

/// Writes tensors as safetensors with the metadata that transformers asks for.
pub fn write_safetensors(tensors: &BTreeMap<String, Tensor>, path: &Path) -> Result<()> {
    let metadata = HashMap::from([("format".to_string(), "pt".to_string())]);
    write_tensors(tensors.iter(), metadata, path)
        .with_context(|| format!("cannot write `{}`", path.display()))
}
