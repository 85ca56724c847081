//! The decoder: embedding, layers, final norm and head, forward and backward, explicitly.
//! The last layer computes queries and feed-forward only for the rows whose output is asked for.

use anyhow::{Result, bail};
use candle_core::{Device, Tensor};

use super::attention::AttentionRows;
use super::config::Config;
use super::layer::{Layer, LayerTrace};
use super::linear::{DropoutKeys, Linear};
use super::norm::Norm;
use super::param::Param;
use super::rope::{AngleTables, Angles};
use crate::backend::embedding::{gather, scatter_add};
use crate::backend::profile::{Op, time};
use crate::backend::{Compute, Packing};
use crate::random::Stream;

#[derive(Debug, Clone)]
pub struct Decoder {
    pub config: Config,
    /// `[vocabulary, hidden]`; also the head when it is tied.
    pub embedding: Param,
    pub layers: Vec<Layer>,
    pub final_norm: Norm,
    /// `[vocabulary, hidden]`; `None` when tied, dropped, and of a model that only scores.
    pub lm_head: Option<Param>,
    pub angles: AngleTables,
    /// Tables that an adapter brought along.
    pub brought: Brought,
}

/// Whose a table of the decoder is: the base's, or an adapter's, whose result keeps it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Owner {
    #[default]
    Base,
    /// An adapter's that does not train it.
    Adapter,
    /// An adapter's that trains it whole: one of its `modules_to_save`.
    Saved,
}

/// Whose embedding and head are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Brought {
    pub embedding: Owner,
    pub head: Owner,
}

/// One packed stream of tokens.
pub struct Tokens<'a> {
    /// `[tokens]`
    pub ids: &'a [u32],
    pub packing: &'a Packing,
    /// Rows whose hidden states are asked for, ascending.
    pub needed: &'a [u32],
    /// A stream for the step and one key per row, when LoRA dropout is on.
    pub dropout: Option<(Stream, &'a [u64])>,
}

/// What a forward keeps for backward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// No backward follows.
    Nothing,
    /// The input of each layer; the rest is made again.
    LayerInputs,
    /// All but norms and activations.
    All,
}

/// What backward needs of a forward.
pub struct Trace {
    layers: Vec<(Tensor, Option<LayerTrace>)>,
    parts: PassTables,
    /// Output of the last layer, `[needed, hidden]`, and its 1/rms.
    last: Tensor,
    inverse: Tensor,
}

/// Rows of all layers but the last, and of the last.
struct PassInputs<'a> {
    full: AttentionRows<'a>,
    last: AttentionRows<'a>,
}

/// What `PassInputs` borrows.
struct PassTables {
    angles: Angles,
    last_packing: Packing,
    last_angles: Angles,
    last_keys: Option<Vec<u64>>,
}

impl PassTables {
    fn of(decoder: &Decoder, tokens: &Tokens<'_>) -> Result<Self> {
        let last_packing = tokens.packing.with_queries(tokens.needed);
        let tables = |packing: &Packing| decoder.angles(packing);
        let pick = |keys: &[u64]| tokens.needed.iter().map(|&row| keys[row as usize]).collect();
        Ok(PassTables {
            angles: tables(tokens.packing)?,
            last_angles: tables(&last_packing)?,
            last_packing,
            last_keys: tokens.dropout.map(|(_, keys)| pick(keys)),
        })
    }

    fn plan<'a>(&'a self, tokens: &Tokens<'a>) -> PassInputs<'a> {
        let dropout = tokens.dropout.map(|(stream, rows)| DropoutKeys { stream, rows });
        let last_dropout = tokens.dropout.zip(self.last_keys.as_ref());
        PassInputs {
            full: AttentionRows {
                packing: tokens.packing,
                query_angles: &self.angles,
                key_angles: &self.angles,
                query_dropout: dropout,
                key_dropout: dropout,
            },
            last: AttentionRows {
                packing: &self.last_packing,
                query_angles: &self.last_angles,
                key_angles: &self.angles,
                query_dropout: last_dropout.map(|((stream, _), rows)| DropoutKeys { stream, rows }),
                key_dropout: dropout,
            },
        }
    }
}

impl Decoder {
    /// Where its weights lie.
    pub fn device(&self) -> &Device {
        self.embedding.value.device()
    }

    /// The angles that the rows of a packing are rotated by.
    pub fn angles(&self, packing: &Packing) -> Result<Angles> {
        self.angles.of(&self.config.rope, &packing.positions(), self.device())
    }

    /// The float type of its weights and activations, and where they lie.
    pub fn compute(&self) -> Compute {
        Compute::of(&self.embedding.value)
    }

    /// Whether there is no head at all, as in a sequence classifier's trunk: no token can be predicted.
    pub fn is_headless(&self) -> bool {
        self.lm_head.is_none() && !self.config.tie_word_embeddings
    }

    /// The head: `[vocabulary, hidden]`. Errors if the model came without one.
    pub fn head(&self) -> Result<&Param> {
        if self.is_headless() {
            bail!("the model has no `lm_head.weight`, so it cannot predict tokens")
        }
        Ok(self.lm_head.as_ref().unwrap_or(&self.embedding))
    }

    /// The same model whose own output layer is not trained, for a trunk under a value head: no gradient
    /// reaches that layer, and a result has it as it was.
    pub fn with_frozen_lm_head(mut self) -> Self {
        self.lm_head = self.lm_head.map(|head| Param::frozen(head.value));
        self
    }

    /// The same model without an output layer of its own, for a trunk that is asked for no
    /// log-probabilities and not saved.
    pub fn without_lm_head(self) -> Self {
        Decoder { lm_head: None, ..self }
    }

    /// Hidden states of the needed rows after the final norm, `[needed, hidden]`.
    pub fn forward(&self, tokens: &Tokens<'_>, keep: Keep) -> Result<(Tensor, Trace)> {
        time(Op::Norms, || self.through_layers(tokens, keep))
    }

    fn through_layers(&self, tokens: &Tokens<'_>, keep: Keep) -> Result<(Tensor, Trace)> {
        if tokens.packing.tokens() != tokens.ids.len() {
            bail!("{} tokens for a packing of {}", tokens.ids.len(), tokens.packing.tokens())
        }
        let parts = PassTables::of(self, tokens)?;
        let plan = parts.plan(tokens);
        let mut x = self.embedded(tokens.ids)?;
        let mut layers = Vec::new();
        for (index, layer) in self.layers.iter().enumerate() {
            let (rows, needed) = self.rows_of(index, &plan, tokens);
            let (y, trace) = layer.forward(&x, rows, needed)?;
            match keep {
                Keep::Nothing => {}
                Keep::LayerInputs => layers.push((x, None)),
                Keep::All => layers.push((x, Some(trace))),
            }
            x = y;
        }
        let (hidden, inverse) = self.final_norm.forward(&x)?;
        Ok((hidden, Trace { layers, parts, last: x, inverse }))
    }

    /// The embedding's rows of `ids`, `[tokens, hidden]`. Errors on a token that has none.
    pub fn embedded(&self, ids: &[u32]) -> Result<Tensor> {
        let rows = self.embedding.value.dim(0)?;
        if let Some(id) = ids.iter().find(|&&id| id as usize >= rows) {
            bail!(
                "token {id} is past the {rows} rows of a model's embedding (`vocab_size` of its `config.json`)"
            )
        }
        Ok(gather(&self.embedding.value, ids)?)
    }

    fn rows_of<'a>(
        &self,
        index: usize,
        plan: &'a PassInputs<'a>,
        tokens: &Tokens<'a>,
    ) -> (&'a AttentionRows<'a>, Option<&'a [u32]>) {
        if index + 1 == self.layers.len() { (&plan.last, Some(tokens.needed)) } else { (&plan.full, None) }
    }

    /// Adds the gradients of everything trained below the head, from that of the hidden states,
    /// `[needed, hidden]`. `tokens` as `forward` had them.
    pub fn backward(&self, tokens: &Tokens<'_>, trace: Trace, d_hidden: &Tensor) -> Result<()> {
        time(Op::Norms, || self.back_through_layers(tokens, trace, d_hidden))
    }

    fn back_through_layers(&self, tokens: &Tokens<'_>, trace: Trace, d_hidden: &Tensor) -> Result<()> {
        let plan = trace.parts.plan(tokens);
        let mut dy = d_hidden.zeros_like()?;
        self.final_norm.backward(&dy, &trace.last, &trace.inverse, d_hidden)?;
        for (index, (x, kept)) in trace.layers.into_iter().enumerate().rev() {
            let layer = &self.layers[index];
            let (rows, needed) = self.rows_of(index, &plan, tokens);
            let kept = match kept {
                Some(kept) => kept,
                None => layer.trace(&x, rows, needed)?,
            };
            let want_dx = index > 0 || self.embedding.grad.is_some();
            match layer.backward(&kept, &x, dy, rows, needed, want_dx)? {
                Some(dx) => dy = dx,
                None => return Ok(()),
            }
        }
        match &self.embedding.grad {
            Some(grad) => Ok(scatter_add(grad, tokens.ids, &dy)?),
            None => Ok(()),
        }
    }

    /// Makes merged LoRA weights again, after an optimiser step.
    pub fn refresh(&self) -> Result<()> {
        self.linears().try_for_each(Linear::refresh)
    }
}
