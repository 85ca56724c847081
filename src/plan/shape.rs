//! A model's size from its `config.json`: what an estimate needs, without any weight.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::model::spec::ScratchSpec;
use crate::plan::counts::Tokens;
use crate::plan::settings::{LoraSettings, TargetModules};

/// Numbers of a chunk of logits that are in memory at once.
const HEAD_CHUNK: u64 = 1 << 22;

/// Widths and counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shape {
    pub vocabulary: u64,
    pub hidden: u64,
    pub layers: u64,
    pub heads: u64,
    pub key_value_heads: u64,
    pub head_dim: u64,
    pub intermediate: u64,
    pub tied: bool,
}

/// The fields of `config.json` that [`Shape`] reads.
#[derive(Deserialize)]
struct Config {
    vocab_size: u64,
    hidden_size: u64,
    num_hidden_layers: u64,
    num_attention_heads: u64,
    num_key_value_heads: Option<u64>,
    head_dim: Option<u64>,
    intermediate_size: u64,
    #[serde(default)]
    tie_word_embeddings: bool,
}

impl Shape {
    /// Reads `config.json` in a model's folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let text = fs::read(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let config: Config =
            serde_json::from_slice(&text).with_context(|| format!("`{}` is not a model's config", path.display()))?;
        Ok(Self {
            vocabulary: config.vocab_size,
            hidden: config.hidden_size,
            layers: config.num_hidden_layers,
            heads: config.num_attention_heads,
            key_value_heads: config.num_key_value_heads.unwrap_or(config.num_attention_heads),
            head_dim: config.head_dim.unwrap_or(config.hidden_size / config.num_attention_heads.max(1)),
            intermediate: config.intermediate_size,
            tied: config.tie_word_embeddings,
        })
    }

    /// The shape of a model from random weights, with `vocabulary` tokens.
    pub fn of_scratch(spec: &ScratchSpec, vocabulary: usize) -> Self {
        Self {
            vocabulary: vocabulary as u64,
            hidden: spec.hidden_size as u64,
            layers: spec.num_hidden_layers as u64,
            heads: spec.num_attention_heads as u64,
            key_value_heads: spec.num_key_value_heads as u64,
            head_dim: spec.head_dim as u64,
            intermediate: spec.intermediate_size as u64,
            tied: spec.tie_word_embeddings,
        }
    }

    /// Name, outputs and inputs of each linear of a layer.
    fn linears(&self) -> [(&'static str, u64, u64); 7] {
        let (hidden, queries) = (self.hidden, self.heads * self.head_dim);
        let keys = self.key_value_heads * self.head_dim;
        [
            ("q_proj", queries, hidden),
            ("k_proj", keys, hidden),
            ("v_proj", keys, hidden),
            ("o_proj", hidden, queries),
            ("gate_proj", self.intermediate, hidden),
            ("up_proj", self.intermediate, hidden),
            ("down_proj", hidden, self.intermediate),
        ]
    }

    /// Weights of all layers' linears.
    pub fn trunk_parameters(&self) -> u64 {
        self.layers * self.linears().iter().map(|(_, outputs, inputs)| outputs * inputs).sum::<u64>()
    }

    /// Weights of `lm_head`.
    pub fn head_parameters(&self) -> u64 {
        self.vocabulary * self.hidden
    }

    /// All weights, but for norms' and biases' few.
    pub fn parameters(&self) -> u64 {
        let embeddings = if self.tied { 1 } else { 2 };
        self.trunk_parameters() + embeddings * self.head_parameters()
    }

    /// Weights of an adapter's A and B.
    pub fn lora_parameters(&self, lora: &LoraSettings) -> u64 {
        let targeted = |name: &str| match &lora.target_modules {
            TargetModules::All => true,
            TargetModules::Default => ["q_proj", "k_proj", "v_proj"].contains(&name),
            TargetModules::List(names) => names.iter().any(|target| target == name),
        };
        let targets = self.linears().into_iter().filter(|(name, ..)| targeted(name));
        let weights: u64 = targets.map(|(_, outputs, inputs)| lora.rank as u64 * (outputs + inputs)).sum();
        self.layers * weights
    }

    /// Numbers a token that a layer keeps for its backward: both norms' inputs and outputs, q, k, v,
    /// attention's output, and the gated MLP's three.
    pub fn saved_per_token(&self) -> u64 {
        let attention = 2 * self.heads * self.head_dim + 2 * self.key_value_heads * self.head_dim;
        4 * self.hidden + attention + 3 * self.intermediate
    }

    /// Logits in memory at once.
    pub fn head_chunk(&self) -> u64 {
        HEAD_CHUNK.max(self.vocabulary)
    }

    /// Operations of attention's two products, forward.
    pub fn attention(&self, tokens: &Tokens) -> f64 {
        4.0 * (self.layers * self.heads * self.head_dim) as f64 * tokens.attended as f64
    }

    /// Operations of a forward pass, the head on trained tokens only.
    pub fn forward(&self, tokens: &Tokens) -> f64 {
        let trunk = self.trunk_parameters() as f64 * tokens.shared as f64;
        let head = self.head_parameters() as f64 * tokens.trained as f64;
        2.0 * (trunk + head) + self.attention(tokens)
    }
}
