//! Weights in Hugging Face's names: into a decoder, and back.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{DType, Tensor};

use super::attention::{Attention, HeadNorms};
use super::config::Config;
use super::decoder::{Brought, Decoder};
use super::layer::Layer;
use super::linear::{Linear, ModuleRows};
use super::mlp::Mlp;
use super::modules::Module;
use super::norm::Norm;
use super::param::Param;
use super::rope::AngleTables;
use super::weight_table::{EMBEDDING, HEAD, Weight, layer_name, weight_table};
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

/// Builds a decoder on a device and in a float type; every weight is trained or frozen, as `train` says. Weights
/// without a head make a decoder that gives hidden states alone.
pub fn build(config: Config, weights: &dyn Weights, train: bool, compute: &Compute) -> Result<Decoder> {
    let table = weight_table(&config).into_iter().map(|weight| (weight.name.clone(), weight)).collect();
    let builder = Builder { table, weights, train, compute, eps: config.rms_norm_eps };
    Ok(Decoder {
        embedding: builder.param(EMBEDDING)?,
        layers: (0..config.num_hidden_layers)
            .map(|index| builder.layer(&config, index))
            .collect::<Result<_>>()?,
        final_norm: builder.norm("model.norm")?,
        lm_head: match config.tie_word_embeddings || !weights.has(HEAD) {
            true => None,
            false => Some(builder.param(HEAD)?),
        },
        config,
        angles: AngleTables::default(),
        brought: Brought::default(),
    })
}

struct Builder<'a> {
    table: BTreeMap<String, Weight>,
    weights: &'a dyn Weights,
    train: bool,
    compute: &'a Compute,
    eps: f64,
}

impl Builder<'_> {
    /// A weight of the table, as it is stored.
    fn stored(&self, name: &str) -> Result<Tensor> {
        let weight =
            self.table.get(name).with_context(|| format!("a model of this config has no `{name}`"))?;
        self.weights.get(name, &weight.shape)
    }

    fn param(&self, name: &str) -> Result<Param> {
        Param::at(self.compute, self.stored(name)?, self.train)
    }

    fn norm(&self, module: &str) -> Result<Norm> {
        let weight = self.param(&format!("{module}.weight"))?;
        Ok(Norm { module: module.to_owned(), weight, eps: self.eps })
    }

    /// Modules side by side in one product, with biases where the table has them.
    fn linear(&self, modules: &[String]) -> Result<Linear> {
        let (mut parts, mut tensors, mut biases) = (Vec::new(), Vec::new(), Vec::new());
        let mut start = 0;
        for module in modules {
            let weight = self.stored(&format!("{module}.weight"))?;
            let rows = start..start + weight.dim(0)?;
            start = rows.end;
            parts.push(ModuleRows { module: module.clone(), rows });
            tensors.push(weight);
            let bias = format!("{module}.bias");
            if self.table.contains_key(&bias) {
                biases.push(self.stored(&bias)?);
            }
        }
        let bias = match biases.is_empty() {
            true => None,
            false => Some(Param::at(self.compute, joined_rows(biases)?, self.train)?),
        };
        let weight = Param::at(self.compute, joined_rows(tensors)?, self.train)?;
        Ok(Linear { weight, bias, parts, lora: None })
    }

    fn layer(&self, config: &Config, index: usize) -> Result<Layer> {
        let layer = layer_name(index);
        let linear = |names: &[&str]| {
            self.linear(&names.iter().map(|name| format!("{layer}.{name}")).collect::<Vec<_>>())
        };
        let norm = |name: &str| self.norm(&format!("{layer}.{name}"));
        let norms = match config.qk_norm() {
            false => None,
            true => Some(HeadNorms { q: norm("self_attn.q_norm")?, k: norm("self_attn.k_norm")? }),
        };
        Ok(Layer {
            attention_norm: norm("input_layernorm")?,
            attention: Attention {
                q: linear(&["self_attn.q_proj"])?,
                kv: linear(&["self_attn.k_proj", "self_attn.v_proj"])?,
                o: linear(&["self_attn.o_proj"])?,
                norms,
                shape: Shape {
                    heads: config.num_attention_heads,
                    kv_heads: config.num_key_value_heads,
                    head_dim: config.head_dim,
                    window: config.windows[index],
                },
            },
            mlp_norm: norm("post_attention_layernorm")?,
            mlp: Mlp {
                gate_up: linear(&["mlp.gate_proj", "mlp.up_proj"])?,
                down: linear(&["mlp.down_proj"])?,
            },
        })
    }
}

/// Tensors below each other. Those of several float types, as merged files have them, become float32.
fn joined_rows(tensors: Vec<Tensor>) -> Result<Tensor> {
    let alike = tensors.windows(2).all(|pair| pair[0].dtype() == pair[1].dtype());
    let same = |tensor: Tensor| if alike { Ok(tensor) } else { tensor.to_dtype(DType::F32) };
    let tensors: Vec<Tensor> = tensors.into_iter().map(same).collect::<candle_core::Result<_>>()?;
    Ok(Tensor::cat(&tensors, 0)?)
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
    for module in decoder.modules() {
        match module {
            Module::Table(name, param) => f(name, &param.value)?,
            Module::Norm(norm) => f(&format!("{}.weight", norm.module), &norm.weight.value)?,
            Module::Linear(linear) => {
                let weight = linear.merged()?;
                for part in &linear.parts {
                    let rows = |t: &Tensor| {
                        let rows = t.narrow(0, part.rows.start, part.rows.len())?;
                        // a transfer from a GPU takes the whole storage behind a view
                        if rows.device().is_cpu() { rows.contiguous() } else { rows.copy() }
                    };
                    f(&format!("{}.weight", part.module), &rows(&weight)?)?;
                    if let Some(bias) = &linear.bias {
                        f(&format!("{}.bias", part.module), &rows(&bias.value)?)?;
                    }
                }
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
