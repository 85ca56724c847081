//! Bytes that a pass through a decoder holds at its fullest moment, counted from shapes. The tensors
//! are those of `decoder`, `layer`, `attention`, `linear` and `log_prob`, from where each is made to
//! where it goes out of scope: whoever changes what lives there changes it here.
//!
//! Left out, as they come to less than a hundredth: LoRA's low-rank rows, indices, masks of rows.

use super::config::Config;
use super::decoder::Keep;
use crate::backend::compute::Dtype;

/// Bytes of a per-row statistic, of a rotation's angle, and of a logit.
const FLOAT: u64 = 4;

/// The rows of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassRows {
    pub tokens: u64,
    /// Those whose hidden states are asked for: all that the last layer makes of queries.
    pub needed: u64,
    /// Hidden states that meet the output layer.
    pub scored: u64,
}

/// A decoder, as far as the memory of its passes goes.
#[derive(Debug, Clone, Copy)]
pub struct ActivationMemory<'a> {
    pub config: &'a Config,
    /// Of activations.
    pub dtype: Dtype,
    /// Whether LoRA drops any of its inputs.
    pub drops: bool,
    /// Logits that exist at once and their gradients, bytes.
    pub logits: u64,
}

/// Rows that a layer has keys and queries of.
#[derive(Clone, Copy)]
struct LayerRows {
    keys: u64,
    queries: u64,
    /// Whether the queries are gathered from the keys' rows.
    gathers: bool,
}

/// Widths of a layer's rows, in elements.
struct Widths {
    hidden: u64,
    queries: u64,
    /// Of keys and values together.
    keys: u64,
    mlp: u64,
    heads: u64,
    kv_heads: u64,
}

impl Widths {
    fn of(config: &Config) -> Self {
        Widths {
            hidden: config.hidden_size as u64,
            queries: config.query_width() as u64,
            keys: 2 * config.key_width() as u64,
            mlp: config.intermediate_size as u64,
            heads: config.num_attention_heads as u64,
            kv_heads: config.num_key_value_heads as u64,
        }
    }
}

/// Bytes that backward needs of one token.
pub fn kept_of_token(config: &Config, dtype: Dtype, keep: Keep) -> u64 {
    let layers = config.num_hidden_layers as u64;
    let input = dtype.bytes() * config.hidden_size as u64;
    let trace = trace(config, dtype, LayerRows { keys: 1, queries: 1, gathers: false });
    match keep {
        Keep::Nothing => input + trace,
        Keep::LayerInputs => layers * input + trace,
        Keep::All => layers * (input + trace),
    }
}

/// A `LayerTrace`.
fn trace(config: &Config, dtype: Dtype, rows: LayerRows) -> u64 {
    let w = Widths::of(config);
    let LayerRows { keys, queries, .. } = rows;
    // kv; q, out, middle, gate_up
    let mut elements = w.keys * keys + (2 * w.queries + w.hidden + 2 * w.mlp) * queries;
    // 1/rms of the input; 1/rms of the middle, log-sum-exp
    let mut statistics = keys + (1 + w.heads) * queries;
    if config.qk_norm() {
        elements += w.keys * keys + w.queries * queries;
        statistics += w.kv_heads * keys + w.heads * queries;
    }
    dtype.bytes() * elements + FLOAT * statistics
}

impl ActivationMemory<'_> {
    /// Forward, log-probabilities (if rows are scored) and backward, of which `keep` says what goes
    /// from one to the other; of [`Keep::Nothing`] without backward.
    pub fn pass(&self, rows: PassRows, keep: Keep) -> u64 {
        self.angles(rows) + self.forward(rows, keep).max(self.head(rows, keep)).max(self.backward(rows, keep))
    }

    fn layers(&self) -> u64 {
        self.config.num_hidden_layers as u64
    }

    /// Of `rows` rows of `width` elements.
    fn bytes(&self, rows: u64, width: u64) -> u64 {
        self.dtype.bytes() * rows * width
    }

    fn hidden(&self, rows: u64) -> u64 {
        self.bytes(rows, self.config.hidden_size as u64)
    }

    /// Cosines and sines, of all rows and of the last layer's.
    fn angles(&self, rows: PassRows) -> u64 {
        FLOAT * self.config.head_dim as u64 * (rows.tokens + rows.needed)
    }

    fn full(rows: PassRows) -> LayerRows {
        LayerRows { keys: rows.tokens, queries: rows.tokens, gathers: false }
    }

    fn last(rows: PassRows) -> LayerRows {
        LayerRows { keys: rows.tokens, queries: rows.needed, gathers: true }
    }

    /// What the first `layers` layers, none of them the last, keep for backward.
    fn kept(&self, layers: u64, rows: PassRows, keep: Keep) -> u64 {
        let trace = trace(self.config, self.dtype, Self::full(rows));
        layers
            * match keep {
                Keep::Nothing => 0,
                Keep::LayerInputs => self.hidden(rows.tokens),
                Keep::All => self.hidden(rows.tokens) + trace,
            }
    }

    /// The fuller of: the last layer, and the one before it, with all that is kept below each, and what
    /// each takes by itself.
    fn fullest(&self, rows: PassRows, keep: Keep, own: impl Fn(LayerRows) -> u64) -> u64 {
        let last = self.layers() - 1;
        let input = self.hidden(rows.tokens);
        let at_last = self.kept(last, rows, keep) + input + own(Self::last(rows));
        let before = last.checked_sub(1).map(|below| self.kept(below, rows, keep) + input);
        at_last.max(before.map_or(0, |kept| kept + own(Self::full(rows))))
    }

    /// A layer's forward: its trace, and what else is there when that is whole, or when the last product is
    /// added.
    fn layer_forward(&self, rows: LayerRows) -> u64 {
        let w = Widths::of(self.config);
        let LayerRows { keys, queries, gathers } = rows;
        let residual = if gathers { w.hidden } else { 0 };
        // what is left of the second norm by dropout
        let dropped = if self.drops { w.hidden } else { 0 };
        // both norms, attended
        let traced = self.hidden(keys) + self.bytes(queries, 2 * w.hidden + residual + dropped);
        // the last product's input, and what is left of it by dropout
        let input = if self.drops { 2 * w.mlp } else { w.mlp };
        // the last product with that, or with the output
        let added = self.bytes(queries, w.hidden + input.max(w.hidden));
        trace(self.config, self.dtype, rows) + traced.max(added)
    }

    fn forward(&self, rows: PassRows, keep: Keep) -> u64 {
        self.fullest(rows, keep, |layer| self.layer_forward(layer))
    }

    /// The output layer, with all kept below.
    fn head(&self, rows: PassRows, keep: Keep) -> u64 {
        let kept = self.kept(self.layers() - 1, rows, keep)
            + match keep {
                Keep::Nothing => 0,
                Keep::LayerInputs => self.hidden(rows.tokens),
                Keep::All => self.hidden(rows.tokens) + trace(self.config, self.dtype, Self::last(rows)),
            };
        // the last layer's output, before and after its norm; the rows scored, and their direction
        kept + self.hidden(2 * rows.needed + 2 * rows.scored) + self.logits
    }

    /// Whichever layer is the fullest, its gradients and what the layers below keep.
    fn backward(&self, rows: PassRows, keep: Keep) -> u64 {
        if keep == Keep::Nothing {
            return 0;
        }
        // the last layer's output, before and after its norm, and its gradient; that of the rows scored
        let from_head = self.hidden(3 * rows.needed + rows.scored);
        // a trace that is made again takes less on the way than the gradients do after it
        let layer = |layer: LayerRows| {
            let gradients = self.mlp_backward(layer).max(self.attention_backward(layer));
            trace(self.config, self.dtype, layer) + gradients
        };
        from_head + self.fullest(rows, keep, layer)
    }

    fn mlp_backward(&self, rows: LayerRows) -> u64 {
        let Widths { hidden: h, mlp, .. } = Widths::of(self.config);
        // the gradients of the output, the activation, gate and up, and the norm; the norm
        let joint = h + mlp + 2 * mlp + h + h;
        // those of the output and the activation, and the activation
        let down = h + mlp + mlp;
        // with dropout: the gradient through LoRA, and what is left of it
        let width = if self.drops { (joint + 2 * h).max(down + 2 * mlp) } else { joint };
        self.bytes(rows.queries, width)
    }

    fn attention_backward(&self, rows: LayerRows) -> u64 {
        let w = Widths::of(self.config);
        let gathered = if rows.gathers { w.hidden } else { 0 };
        let dropped = if self.drops { 2 * w.hidden } else { 0 };
        // the norm, the gradient of keys and values, and the one from there
        let keys = self.bytes(rows.keys, w.hidden + w.keys + w.hidden + dropped);
        // the gradients of the output, of attention's output, of the queries, and the one from there
        keys + self.bytes(rows.queries, 2 * w.hidden + 2 * w.queries + gathered)
    }
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use candle_core::{DType, Device, Tensor};
    use serde_json::json;

    use super::*;
    use crate::backend::counting_allocator::peak_of;
    use crate::backend::gpu::emulation::{self, Order};
    use crate::backend::log_prob::{chunk_rows, gpu_chunk_rows, gpu_logit_bytes};
    use crate::backend::{Compute, Packing, Segment};
    use crate::model::decoder::{Decoder, Tokens};
    use crate::model::log_prob::Targets;
    use crate::model::tuner::LoraSettings;
    use crate::model::tuner::lora::new_adapter;
    use crate::model::weights::{Weights, build};
    use crate::random::{Purpose, Stream};

    struct Ones;

    impl Weights for Ones {
        fn get(&self, _: &str, shape: &[usize]) -> anyhow::Result<Tensor> {
            Ok((Tensor::ones(shape, DType::F32, &Device::Cpu)? * 0.02)?)
        }
    }

    fn config(model_type: &str) -> Config {
        Config::from_json(json!({
            "model_type": model_type, "vocab_size": 300, "hidden_size": 64, "num_hidden_layers": 3,
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 176,
            "rms_norm_eps": 1e-6, "rope_theta": 1e4, "tie_word_embeddings": false,
        }))
        .unwrap()
    }

    /// Tokens of an answer, and of a pair with a prompt of 120.
    const ANSWER: usize = 100;
    const PAIR: usize = 120 + 2 * ANSWER;

    fn packing(pairs: usize) -> Packing {
        let mut packing = Packing::default();
        for pair in 0..pairs {
            let prompt = pair * PAIR;
            let first = packing.segments.len();
            for (start, len, prefix_len) in [(0, 120, 0), (120, ANSWER, 120), (120 + ANSWER, ANSWER, 120)] {
                let (start, prefix_start) = (prompt + start, prompt);
                packing.segments.push(Segment {
                    start,
                    len,
                    skip: 0,
                    own_key: start,
                    prefix_start,
                    prefix_len,
                });
            }
            packing.groups.push(first..packing.segments.len());
        }
        packing
    }

    fn lora(dropout: f64) -> LoraSettings {
        LoraSettings { rank: 2, alpha: 4.0, dropout, ..LoraSettings::default() }
    }

    /// Bytes that a pass took and those that are predicted.
    fn pass(decoder: &Decoder, pairs: usize, keep: Keep, drops: bool) -> (u64, u64) {
        let packing = packing(pairs);
        let tokens = pairs * PAIR;
        let ids: Vec<u32> = (0..tokens as u32).map(|row| row % 300).collect();
        let needed: Vec<u32> = (0..tokens as u32).filter(|row| row % PAIR as u32 >= 120).collect();
        let hidden: Vec<u32> = (0..needed.len() as u32).collect();
        let targets: Vec<u32> = hidden.iter().map(|row| row % 300).collect();
        let row_keys: Vec<u64> = (0..tokens as u64).collect();
        let stream = Stream::new(1, Purpose::Dropout);
        let dropout = drops.then_some((stream, row_keys.as_slice()));
        let input = Tokens { ids: &ids, packing: &packing, needed: &needed, dropout };
        let asked = Targets { hidden: &hidden, tokens: &targets, temperature: 1.0 };
        let d_log_probs = vec![0.1; targets.len()];
        let (_, took) = peak_of(|| match keep {
            Keep::Nothing => drop(decoder.log_probs(&input, asked).unwrap()),
            keep => {
                let (_, pending) = decoder.forward_log_probs(&input, asked, keep).unwrap();
                decoder.backward_log_probs(&input, asked, pending, &d_log_probs).unwrap();
            }
        });
        let (dtype, rows, bytes) = match decoder.embedding.value.dtype() {
            DType::BF16 => (Dtype::Bf16, gpu_chunk_rows(300, DType::BF16), gpu_logit_bytes(DType::BF16)),
            _ => (Dtype::F32, chunk_rows(300), 4),
        };
        let logits = (rows.min(targets.len()) * 300 * bytes) as u64;
        let activations = ActivationMemory { config: &decoder.config, dtype, drops, logits };
        let scored = targets.len() as u64;
        (took, activations.pass(PassRows { tokens: tokens as u64, needed: scored, scored }, keep))
    }

    fn compare(model_type: &str, compute: &Compute, pairs: usize, enough: Range<f64>) {
        let decoder = |train| build(config(model_type), &Ones, train, compute).unwrap();
        let adapted = |dropout| new_adapter(decoder(false), &lora(dropout), 1).unwrap();
        // threads and their like are made once
        pass(&decoder(true), pairs, Keep::All, false);
        let decoders =
            [("full", decoder(true), 0.0), ("lora", adapted(0.0), 0.0), ("dropout", adapted(0.5), 0.5)];
        for (name, decoder, dropout) in decoders {
            for keep in [Keep::All, Keep::LayerInputs, Keep::Nothing] {
                let (took, counted) = pass(&decoder, pairs, keep, dropout > 0.0);
                let ratio = counted as f64 / took as f64;
                assert!(
                    enough.contains(&ratio),
                    "{model_type}, {name}, {keep:?}: {took} bytes, of which {counted} are counted"
                );
            }
        }
    }

    #[test]
    fn a_pass_takes_what_is_counted() {
        for model_type in ["llama", "qwen3"] {
            compare(model_type, &Compute::default(), 12, 0.98..1.01);
        }
    }

    /// What kernels work on is counted in bf16; the last digits are indices and the like.
    #[test]
    fn so_does_a_pass_in_bf16_where_kernels_run() {
        let compute = Compute { device: Device::Cpu, dtype: DType::BF16 };
        emulation::with(Order::Forward, || compare("llama", &compute, 1, 0.95..1.02));
    }
}
