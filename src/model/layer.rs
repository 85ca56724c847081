//! One decoder layer: x + attention(norm(x)), then x + mlp(norm(x)), forward and backward.

use anyhow::Result;
use candle_core::Tensor;

use super::attention::{Attention, AttentionTrace, Rows};
use super::linear::{Linear, Product};
use super::param::{Param, Trained, collect};
use crate::backend::embedding::{gather, scatter_add};
use crate::backend::gated_mlp::{silu_mul, silu_mul_backward};
use crate::backend::norm::{add_rms_norm, rms_norm, rms_norm_backward};
use crate::backend::residual::{add, add_into};

#[derive(Debug, Clone)]
pub struct Layer {
    /// `model.layers.N`
    pub name: String,
    pub attention_norm: Param,
    pub attention: Attention,
    pub mlp_norm: Param,
    /// Gate, then up: `[2 · intermediate, hidden]`.
    pub gate_up: Linear,
    /// `[hidden, intermediate]`.
    pub down: Linear,
    pub eps: f64,
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
        rows: &Rows<'_>,
        needed: Option<&[u32]>,
    ) -> Result<(Tensor, LayerTrace)> {
        let trace = self.trace(x, rows, needed)?;
        let activated = silu_mul(&trace.gate_up)?;
        let y = add(&trace.middle, &self.down.forward(&activated, rows.query_dropout)?)?;
        Ok((y, trace))
    }

    /// `forward` as far as its backward needs it: without the last product.
    pub fn trace(&self, x: &Tensor, rows: &Rows<'_>, needed: Option<&[u32]>) -> Result<LayerTrace> {
        let (normed, attention_inverse) = rms_norm(x, &self.attention_norm.value, self.eps)?;
        let (attended, attention) = match needed {
            None => self.attention.forward(&normed, &normed, rows)?,
            Some(needed) => self.attention.forward(&gather(&normed, needed)?, &normed, rows)?,
        };
        let residual = match needed {
            None => x.clone(),
            Some(needed) => gather(x, needed)?,
        };
        let (middle, normed, middle_inverse) =
            add_rms_norm(&residual, &attended, &self.mlp_norm.value, self.eps)?;
        let gate_up = self.gate_up.forward(&normed, rows.query_dropout)?;
        Ok(LayerTrace { attention, attention_inverse, middle, middle_inverse, gate_up })
    }

    /// `forward` without a trace or dropout, keys and values kept in `cache` (see `Attention::forward_cached`).
    pub fn forward_cached(
        &self,
        x: &Tensor,
        rows: &Rows<'_>,
        needed: Option<&[u32]>,
        cache: &Tensor,
        cache_rows: &[u32],
        product: Product,
    ) -> Result<Tensor> {
        let (normed, _) = rms_norm(x, &self.attention_norm.value, self.eps)?;
        let (residual, queries) = match needed {
            None => (x.clone(), normed.clone()),
            Some(needed) => (gather(x, needed)?, gather(&normed, needed)?),
        };
        let attended = self.attention.forward_cached(&queries, &normed, rows, cache, cache_rows, product)?;
        let (middle, normed, _) = add_rms_norm(&residual, &attended, &self.mlp_norm.value, self.eps)?;
        let activated = silu_mul(&self.gate_up.forward_by(&normed, product)?)?;
        Ok(add(&middle, &self.down.forward_by(&activated, product)?)?)
    }

    /// Adds gradients; returns dx `[rows, hidden]` if it is wanted. x, `rows` and `needed` as
    /// `forward` had them, dy `[query rows, hidden]`.
    pub fn backward(
        &self,
        trace: &LayerTrace,
        x: &Tensor,
        dy: Tensor,
        rows: &Rows<'_>,
        needed: Option<&[u32]>,
        want_dx: bool,
    ) -> Result<Option<Tensor>> {
        let d_middle = self.mlp_backward(trace, dy, rows)?;
        let (normed, _) = rms_norm(x, &self.attention_norm.value, self.eps)?;
        let queries = match needed {
            None => normed.clone(),
            Some(needed) => gather(&normed, needed)?,
        };
        // the norm's own gradient needs that of its output, wanted below or not
        let below = want_dx || self.attention_norm.grad.is_some();
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
        let weight = &self.attention_norm;
        rms_norm_backward(&dx, x, &weight.value, &trace.attention_inverse, &d_keys, weight.grad.as_ref())?;
        Ok(Some(dx))
    }

    /// The gradient with respect to the rows after attention; `dy` is used up.
    fn mlp_backward(&self, trace: &LayerTrace, dy: Tensor, rows: &Rows<'_>) -> Result<Tensor> {
        let activated = silu_mul(&trace.gate_up)?;
        let Some(d_activated) = self.down.backward(&activated, &dy, rows.query_dropout, true)? else {
            return Ok(dy);
        };
        drop(activated);
        let d_gate_up = silu_mul_backward(&trace.gate_up, &d_activated)?;
        let (normed, _) = rms_norm(&trace.middle, &self.mlp_norm.value, self.eps)?;
        if let Some(d_normed) = self.gate_up.backward(&normed, &d_gate_up, rows.query_dropout, true)? {
            let weight = &self.mlp_norm;
            rms_norm_backward(
                &dy,
                &trace.middle,
                &weight.value,
                &trace.middle_inverse,
                &d_normed,
                weight.grad.as_ref(),
            )?;
        }
        Ok(dy)
    }

    pub(super) fn linears(&self) -> impl Iterator<Item = &Linear> {
        self.attention.linears().into_iter().chain([&self.gate_up, &self.down])
    }

    pub(super) fn trained<'a>(&'a self, found: &mut Vec<Trained<'a>>) {
        collect(found, || format!("{}.input_layernorm.weight", self.name), &self.attention_norm, false);
        self.attention.trained(&self.name, found);
        collect(found, || format!("{}.post_attention_layernorm.weight", self.name), &self.mlp_norm, false);
        self.gate_up.trained(found);
        self.down.trained(found);
    }
}
