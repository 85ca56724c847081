//! Bytes that a pass through a decoder holds at its fullest moment, counted from shapes. The tensors
//! are those of `decoder`, `layer`, `attention`, `linear` and `log_prob`, from where each is made to
//! where it goes out of scope: whoever changes what lives there changes it here.
//!
//! Left out, as they come to less than a hundredth: LoRA's low-rank rows, indices, masks of rows.

use super::config::Config;
use super::decoder::Keep;
use super::spec::Dtype;

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
pub struct Footprint<'a> {
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

impl Footprint<'_> {
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

    /// A layer's forward: its trace, and what else is there when the last product is added.
    fn layer_forward(&self, rows: LayerRows) -> u64 {
        let w = Widths::of(self.config);
        let LayerRows { keys, queries, gathers } = rows;
        let residual = if gathers { w.hidden } else { 0 };
        // the output; before it, what is left of the product's input by dropout
        let output = if self.drops { w.hidden.max(w.mlp) } else { w.hidden };
        // both norms, attended, the last product and its input
        let rest = self.hidden(keys) + self.bytes(queries, 3 * w.hidden + w.mlp + residual + output);
        trace(self.config, self.dtype, rows) + rest
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
        let layer = |layer: LayerRows| {
            let gradients = self.mlp_backward(layer).max(self.attention_backward(layer));
            let kept = trace(self.config, self.dtype, layer);
            match keep {
                Keep::LayerInputs => {
                    (kept + gradients).max(self.hidden(layer.queries) + self.layer_forward(layer))
                }
                _ => kept + gradients,
            }
        };
        from_head + self.fullest(rows, keep, layer)
    }

    fn mlp_backward(&self, rows: LayerRows) -> u64 {
        let Widths { hidden: h, mlp, .. } = Widths::of(self.config);
        // the gradients of the output, the activation, gate and up, and the norm; the norm
        let joint = h + mlp + 2 * mlp + h + h;
        // those of the output and the activation, and the activation
        let down = h + mlp + mlp;
        // with dropout: its input's rest, the gradient through LoRA, and the sum of both
        let width = if self.drops { (joint + 3 * h).max(down + 3 * mlp) } else { joint };
        self.bytes(rows.queries, width)
    }

    fn attention_backward(&self, rows: LayerRows) -> u64 {
        let w = Widths::of(self.config);
        let gathered = if rows.gathers { w.hidden } else { 0 };
        let dropped = if self.drops { 3 * w.hidden } else { 0 };
        // the norm, the gradient of keys and values, and the one from there
        let keys = self.bytes(rows.keys, w.hidden + w.keys + w.hidden + dropped);
        // the gradients of the output, of attention's output, of the queries, and the one from there
        keys + self.bytes(rows.queries, 2 * w.hidden + 2 * w.queries + gathered)
    }
}
