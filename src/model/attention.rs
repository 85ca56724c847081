//! The attention block of a layer: projections, head norms, rotation, attention, output projection.

use anyhow::Result;
use candle_core::Tensor;

use super::linear::{DropoutKeys, Linear, Product};
use super::norm::Norm;
use super::rope::Angles;
use crate::backend::Packing;
use crate::backend::attention::{Saved, Shape, attention, attention_backward};
use crate::backend::norm::{Heads, rms_norm_heads, rms_norm_heads_backward};
use crate::backend::profile::{Op, time};
use crate::backend::rope::rotate;

/// What the rows of a pass are: keys of every row, queries of those that are needed.
pub struct AttentionRows<'a> {
    /// Segments over the query rows.
    pub packing: &'a Packing,
    pub query_angles: &'a Angles,
    pub key_angles: &'a Angles,
    pub query_dropout: Option<DropoutKeys<'a>>,
    pub key_dropout: Option<DropoutKeys<'a>>,
}

/// q/k norms of Qwen3, weights `[head_dim]`.
#[derive(Debug, Clone)]
pub struct HeadNorms {
    pub q: Norm,
    pub k: Norm,
}

#[derive(Debug, Clone)]
pub struct Attention {
    /// `[heads · head_dim, hidden]`.
    pub q: Linear,
    /// Keys, then values: `[2 · kv_heads · head_dim, hidden]`.
    pub kv: Linear,
    /// `[hidden, heads · head_dim]`.
    pub o: Linear,
    pub norms: Option<HeadNorms>,
    pub shape: Shape,
}

/// What backward needs of a forward.
pub struct AttentionTrace {
    /// After norm and rotation.
    q: Tensor,
    kv: Tensor,
    out: Tensor,
    lse: Tensor,
    norms: Option<NormTrace>,
}

struct NormTrace {
    q_before: Tensor,
    kv_before: Tensor,
    q_inverse: Tensor,
    k_inverse: Tensor,
}

impl Attention {
    fn q_heads(&self) -> Heads {
        Heads { start: 0, heads: self.shape.heads, head_dim: self.shape.head_dim }
    }

    fn k_heads(&self) -> Heads {
        Heads { start: 0, heads: self.shape.kv_heads, head_dim: self.shape.head_dim }
    }

    fn key_width(&self) -> usize {
        self.shape.kv_heads * self.shape.head_dim
    }

    /// Normalises and rotates queries `[query rows, heads · head_dim]` and keys-values
    /// `[key rows, 2 · kv_heads · head_dim]` in place; returns what backward needs of the norms.
    fn norm_and_rotate(
        &self,
        q: &Tensor,
        kv: &Tensor,
        rows: &AttentionRows<'_>,
    ) -> Result<Option<NormTrace>> {
        let norms = match &self.norms {
            None => None,
            Some(norms) => {
                let (q_before, kv_before) = (q.copy()?, kv.copy()?);
                let q_inverse = rms_norm_heads(q, self.q_heads(), &norms.q.weight.value, norms.q.eps)?;
                let k_inverse = rms_norm_heads(kv, self.k_heads(), &norms.k.weight.value, norms.k.eps)?;
                Some(NormTrace { q_before, kv_before, q_inverse, k_inverse })
            }
        };
        rotate(q, self.q_heads(), &rows.query_angles.cos, &rows.query_angles.sin, false)?;
        rotate(kv, self.k_heads(), &rows.key_angles.cos, &rows.key_angles.sin, false)?;
        Ok(norms)
    }

    /// queries `[query rows, hidden]` (normalised), keys `[key rows, hidden]` → `[query rows, hidden]`.
    pub fn forward(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        rows: &AttentionRows<'_>,
    ) -> Result<(Tensor, AttentionTrace)> {
        let q = self.q.forward(queries, rows.query_dropout)?;
        let kv = self.kv.forward(keys, rows.key_dropout)?;
        let norms = self.norm_and_rotate(&q, &kv, rows)?;
        let (k, v) = self.split(&kv)?;
        let (out, lse) = time(Op::Attention, || attention(&q, &k, &v, rows.packing, self.shape))?;
        let y = self.o.forward(&out, rows.query_dropout)?;
        Ok((y, AttentionTrace { q, kv, out, lse, norms }))
    }

    /// As `forward` without dropout, with the keys and values of all rows so far kept in `cache`
    /// `[cache rows, 2 · kv_heads · head_dim]`; those of this pass go to `cache_rows`.
    pub fn forward_cached(
        &self,
        queries: &Tensor,
        keys: &Tensor,
        rows: &AttentionRows<'_>,
        cache: &Tensor,
        cache_rows: &[u32],
        product: Product,
    ) -> Result<Tensor> {
        let (q, kv) = (self.q.forward_by(queries, product)?, self.kv.forward_by(keys, product)?);
        self.norm_and_rotate(&q, &kv, rows)?;
        crate::backend::embedding::write_rows(cache, cache_rows, &kv)?;
        let (k, v) = self.split(cache)?;
        let (out, _) = time(Op::Attention, || attention(&q, &k, &v, rows.packing, self.shape))?;
        self.o.forward_by(&out, product)
    }

    fn split(&self, kv: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok((kv.narrow(1, 0, self.key_width())?, kv.narrow(1, self.key_width(), self.key_width())?))
    }

    /// Adds gradients; returns those of `queries` and `keys` (none if `want_dx` is false).
    pub fn backward(
        &self,
        trace: &AttentionTrace,
        queries: &Tensor,
        keys: &Tensor,
        dy: &Tensor,
        rows: &AttentionRows<'_>,
        want_dx: bool,
    ) -> Result<Option<(Tensor, Tensor)>> {
        let AttentionTrace { q, kv, out, lse, norms } = trace;
        let Some(d_out) = self.o.backward(out, dy, rows.query_dropout, true)? else { return Ok(None) };
        let saved = Saved { q, kv, out, lse };
        let (d_q, d_kv) =
            time(Op::Attention, || attention_backward(&saved, &d_out, rows.packing, self.shape))?;
        rotate(&d_q, self.q_heads(), &rows.query_angles.cos, &rows.query_angles.sin, true)?;
        rotate(&d_kv, self.k_heads(), &rows.key_angles.cos, &rows.key_angles.sin, true)?;
        if let (Some(weights), Some(t)) = (&self.norms, norms) {
            let (q, k) = (&weights.q.weight, &weights.k.weight);
            let (gq, gk) = (q.grad.as_ref(), k.grad.as_ref());
            rms_norm_heads_backward(&d_q, &t.q_before, self.q_heads(), &q.value, &t.q_inverse, gq)?;
            rms_norm_heads_backward(&d_kv, &t.kv_before, self.k_heads(), &k.value, &t.k_inverse, gk)?;
        }
        let d_queries = self.q.backward(queries, &d_q, rows.query_dropout, want_dx)?;
        let d_keys = self.kv.backward(keys, &d_kv, rows.key_dropout, want_dx)?;
        Ok(d_queries.zip(d_keys))
    }
}
