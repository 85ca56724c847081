//! One decoder layer: x + attention(norm(x)), then x + mlp(norm(x)), forward and backward.

use anyhow::Result;
use candle_core::Tensor;

use super::attention::{Attention, AttentionRows, AttentionTrace};
use super::linear::Product;
use super::mlp::Mlp;
use super::norm::Norm;
use crate::backend::embedding::{gather, scatter_add};
use crate::backend::residual::{add, add_into};

#[derive(Debug, Clone)]
pub struct Layer {
    pub attention_norm: Norm,
    pub attention: Attention,
    pub mlp_norm: Norm,
    pub mlp: Mlp,
}

/// What backward needs of a forward that kept everything but norms and activations.
pub struct LayerTrace {
    attention: AttentionTrace,
    attention_inverse: Tensor,
    /// After attention, `[query rows, hidden]`.
    middle: Tensor,
    middle_inverse: Tensor,
    gate_up: Tensor,
}

impl Layer {
    /// x `[rows, hidden]` → `[query rows, hidden]`. `needed`: the rows whose output is asked for;
    /// `None` is all of them.
    pub fn forward(
        &self,
        x: &Tensor,
        rows: &AttentionRows<'_>,
        needed: Option<&[u32]>,
    ) -> Result<(Tensor, LayerTrace)> {
        let trace = self.trace(x, rows, needed)?;
        let y = add(&trace.middle, &self.mlp.down(&trace.gate_up, rows.query_dropout)?)?;
        Ok((y, trace))
    }

    /// `forward` as far as its backward needs it: without the last product.
    pub fn trace(&self, x: &Tensor, rows: &AttentionRows<'_>, needed: Option<&[u32]>) -> Result<LayerTrace> {
        let (normed, attention_inverse) = self.attention_norm.forward(x)?;
        let (attended, attention) = match needed {
            None => self.attention.forward(&normed, &normed, rows)?,
            Some(needed) => self.attention.forward(&gather(&normed, needed)?, &normed, rows)?,
        };
        let residual = match needed {
            None => x.clone(),
            Some(needed) => gather(x, needed)?,
        };
        let (middle, normed, middle_inverse) = self.mlp_norm.forward_sum(&residual, &attended)?;
        let gate_up = self.mlp.gate_up(&normed, rows.query_dropout)?;
        Ok(LayerTrace { attention, attention_inverse, middle, middle_inverse, gate_up })
    }

    /// `forward` without a trace or dropout, keys and values kept in `cache` (see `Attention::forward_cached`).
    pub fn forward_cached(
        &self,
        x: &Tensor,
        rows: &AttentionRows<'_>,
        needed: Option<&[u32]>,
        cache: &Tensor,
        cache_rows: &[u32],
        product: Product,
    ) -> Result<Tensor> {
        let (normed, _) = self.attention_norm.forward(x)?;
        let (residual, queries) = match needed {
            None => (x.clone(), normed.clone()),
            Some(needed) => (gather(x, needed)?, gather(&normed, needed)?),
        };
        let attended = self.attention.forward_cached(&queries, &normed, rows, cache, cache_rows, product)?;
        let (middle, normed, _) = self.mlp_norm.forward_sum(&residual, &attended)?;
        Ok(add(&middle, &self.mlp.forward_by(&normed, product)?)?)
    }

    /// Adds gradients; returns dx `[rows, hidden]` if it is wanted. x, `rows` and `needed` as
    /// `forward` had them, dy `[query rows, hidden]`.
    pub fn backward(
        &self,
        trace: &LayerTrace,
        x: &Tensor,
        dy: Tensor,
        rows: &AttentionRows<'_>,
        needed: Option<&[u32]>,
        want_dx: bool,
    ) -> Result<Option<Tensor>> {
        let d_middle = self.mlp_backward(trace, dy, rows)?;
        let (normed, _) = self.attention_norm.forward(x)?;
        let queries = match needed {
            None => normed.clone(),
            Some(needed) => gather(&normed, needed)?,
        };
        // the norm's own gradient needs that of its output, wanted below or not
        let below = want_dx || self.attention_norm.weight.grad.is_some();
        let gradients =
            self.attention.backward(&trace.attention, &queries, &normed, &d_middle, rows, below)?;
        let Some((d_queries, d_keys)) = gradients else { return Ok(None) };
        let dx = match needed {
            None => {
                add_into(&d_keys, &d_queries)?;
                d_middle
            }
            Some(needed) => {
                scatter_add(&d_keys, needed, &d_queries)?;
                let dx = d_keys.zeros_like()?;
                scatter_add(&dx, needed, &d_middle)?;
                dx
            }
        };
        self.attention_norm.backward(&dx, x, &trace.attention_inverse, &d_keys)?;
        Ok(Some(dx))
    }

    /// The gradient with respect to the rows after attention; `dy` is used up.
    fn mlp_backward(&self, trace: &LayerTrace, dy: Tensor, rows: &AttentionRows<'_>) -> Result<Tensor> {
        let normed = || Ok(self.mlp_norm.forward(&trace.middle)?.0);
        if let Some(d_normed) = self.mlp.backward(&trace.gate_up, normed, &dy, rows.query_dropout)? {
            self.mlp_norm.backward(&dy, &trace.middle, &trace.middle_inverse, &d_normed)?;
        }
        Ok(dy)
    }
}
