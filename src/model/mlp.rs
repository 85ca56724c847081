//! The gated MLP of a layer: down(silu(gate x) · up x).

use anyhow::Result;
use candle_core::Tensor;

use super::linear::{DropoutKeys, Linear, Product};
use crate::backend::gated_mlp::{silu_mul, silu_mul_backward};

#[derive(Debug, Clone)]
pub struct Mlp {
    /// Gate, then up: `[2 · intermediate, hidden]`.
    pub gate_up: Linear,
    /// `[hidden, intermediate]`.
    pub down: Linear,
}

impl Mlp {
    /// x `[rows, hidden]` → gate and up side by side, `[rows, 2 · intermediate]`: what backward needs.
    pub fn gate_up(&self, x: &Tensor, dropout: Option<DropoutKeys<'_>>) -> Result<Tensor> {
        self.gate_up.forward(x, dropout)
    }

    /// Gate and up → `[rows, hidden]`.
    pub fn down(&self, gate_up: &Tensor, dropout: Option<DropoutKeys<'_>>) -> Result<Tensor> {
        self.down.forward(&silu_mul(gate_up)?, dropout)
    }

    /// x `[rows, hidden]` → `[rows, hidden]`, without dropout, by the kernel asked for.
    pub fn forward_by(&self, x: &Tensor, product: Product) -> Result<Tensor> {
        let activated = silu_mul(&self.gate_up.forward_by(x, product)?)?;
        self.down.forward_by(&activated, product)
    }

    /// Adds gradients; returns that of x, `[rows, hidden]`. `gate_up` as `forward` made it, dy `[rows, hidden]`.
    /// `input` makes x again, when it is needed and not before.
    pub fn backward(
        &self,
        gate_up: &Tensor,
        input: impl FnOnce() -> Result<Tensor>,
        dy: &Tensor,
        dropout: Option<DropoutKeys<'_>>,
    ) -> Result<Option<Tensor>> {
        let activated = silu_mul(gate_up)?;
        let Some(d_activated) = self.down.backward(&activated, dy, dropout, true)? else { return Ok(None) };
        drop(activated);
        let d_gate_up = silu_mul_backward(gate_up, &d_activated)?;
        self.gate_up.backward(&input()?, &d_gate_up, dropout, true)
    }
}
