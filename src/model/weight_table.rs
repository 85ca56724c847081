//! The weights that a config makes, in Hugging Face's names: the one list that building, checking a folder,
//! LoRA's targets and every count go by.

use super::config::Config;

pub const EMBEDDING: &str = "model.embed_tokens.weight";
pub const HEAD: &str = "lm_head.weight";
pub const FINAL_NORM: &str = "model.norm.weight";

/// One weight of a decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Weight {
    pub name: String,
    /// `[out, in]` of a matrix.
    pub shape: Vec<usize>,
    pub role: WeightRole,
    /// The keys of `config.json` that its shape comes from.
    pub keys: &'static str,
}

/// What a weight does in the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightRole {
    Embedding,
    /// The output layer. It is listed also where it is tied to the embedding.
    Head,
    Norm,
    /// A matrix of a layer: what a token is multiplied with, and what LoRA can be on.
    Linear,
    Bias,
}

impl Weight {
    /// The module that it is the weight or the bias of.
    pub fn module(&self) -> &str {
        self.name.rsplit_once('.').map_or(&self.name, |(module, _)| module)
    }

    pub fn count(&self) -> u64 {
        self.shape.iter().fold(1, |count: u64, &extent| count.saturating_mul(extent as u64))
    }
}

/// Every weight of a decoder of this config, the head too where it is tied.
pub fn weight_table(config: &Config) -> Vec<Weight> {
    let (v, h) = (config.vocab_size, config.hidden_size);
    let table = "`vocab_size`, `hidden_size`";
    let weight =
        |name: String, shape: &[usize], role, keys| Weight { name, shape: shape.to_vec(), role, keys };
    let mut all = vec![
        weight(EMBEDDING.to_owned(), &[v, h], WeightRole::Embedding, table),
        weight(HEAD.to_owned(), &[v, h], WeightRole::Head, table),
        weight(FINAL_NORM.to_owned(), &[h], WeightRole::Norm, "`hidden_size`"),
    ];
    for layer in 0..config.num_hidden_layers {
        let of_layer = of_layer(config).into_iter();
        all.extend(of_layer.map(|of| Weight { name: format!("{}.{}", layer_name(layer), of.name), ..of }));
    }
    all
}

/// What the modules of a layer begin with.
pub fn layer_name(index: usize) -> String {
    format!("model.layers.{index}")
}

/// The weights of one layer, by their names within it.
fn of_layer(config: &Config) -> Vec<Weight> {
    let (h, i) = (config.hidden_size, config.intermediate_size);
    let (q, k) = (config.query_width(), config.key_width());
    let queries = "`num_attention_heads`, `head_dim`, `hidden_size`";
    let values = "`num_key_value_heads`, `head_dim`, `hidden_size`";
    let mlp = "`intermediate_size`, `hidden_size`";
    let mut all = Vec::new();
    let mut add = |name: &str, shape: &[usize], role, keys| {
        all.push(Weight { name: name.to_owned(), shape: shape.to_vec(), role, keys });
    };
    add("input_layernorm.weight", &[h], WeightRole::Norm, "`hidden_size`");
    add("post_attention_layernorm.weight", &[h], WeightRole::Norm, "`hidden_size`");
    add("self_attn.q_proj.weight", &[q, h], WeightRole::Linear, queries);
    add("self_attn.k_proj.weight", &[k, h], WeightRole::Linear, values);
    add("self_attn.v_proj.weight", &[k, h], WeightRole::Linear, values);
    add("self_attn.o_proj.weight", &[h, q], WeightRole::Linear, queries);
    add("mlp.gate_proj.weight", &[i, h], WeightRole::Linear, mlp);
    add("mlp.up_proj.weight", &[i, h], WeightRole::Linear, mlp);
    add("mlp.down_proj.weight", &[h, i], WeightRole::Linear, mlp);
    if config.qkv_bias() {
        add("self_attn.q_proj.bias", &[q], WeightRole::Bias, queries);
        add("self_attn.k_proj.bias", &[k], WeightRole::Bias, values);
        add("self_attn.v_proj.bias", &[k], WeightRole::Bias, values);
    }
    if config.qk_norm() {
        add("self_attn.q_norm.weight", &[config.head_dim], WeightRole::Norm, "`head_dim`");
        add("self_attn.k_norm.weight", &[config.head_dim], WeightRole::Norm, "`head_dim`");
    }
    all
}

impl Config {
    fn count(&self, counts: impl Fn(WeightRole) -> bool) -> u64 {
        let counted = weight_table(self).into_iter().filter(|weight| counts(weight.role));
        counted.fold(0, |sum: u64, weight| sum.saturating_add(weight.count()))
    }

    /// Weights of the decoder layers' matrices: what a token is multiplied with, head excluded.
    pub fn trunk_weights(&self) -> u64 {
        self.count(|role| role == WeightRole::Linear)
    }

    /// Weights of an output layer of its own; none where it is tied to the embedding.
    pub fn lm_head_weights(&self) -> u64 {
        self.count(|role| role == WeightRole::Head && !self.tie_word_embeddings)
    }

    /// All weights, as stored.
    pub fn parameters(&self) -> u64 {
        self.count(|role| role != WeightRole::Head || !self.tie_word_embeddings)
    }
}
