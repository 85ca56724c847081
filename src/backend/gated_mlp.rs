//! The gated activation of the feed-forward block: silu(gate) · up, and its backward.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::lanes::{exp, wide};
use super::storage::{unwritten, update, view};

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// gate_up `[rows, 2·width]`, gate first → silu(gate) · up `[rows, width]`.
pub fn silu_mul(gate_up: &Tensor) -> Result<Tensor> {
    let (rows, double) = gate_up.dims2()?;
    let width = double / 2;
    let values = view(gate_up)?;
    let out = unwritten((rows, width))?;
    update(&out, |out| {
        out.par_chunks_mut(width).zip(values.par_chunks(double)).for_each(|(out, row)| {
            wide(
                #[inline(always)]
                || {
                    let (gate, up) = row.split_at(width);
                    for j in 0..width {
                        out[j] = gate[j] * sigmoid(gate[j]) * up[j];
                    }
                },
            )
        });
        Ok(())
    })?;
    Ok(out)
}

/// The gradient of `silu_mul` with respect to `gate_up`, `[rows, 2·width]`; d `[rows, width]`.
pub fn silu_mul_backward(gate_up: &Tensor, d: &Tensor) -> Result<Tensor> {
    let (rows, double) = gate_up.dims2()?;
    let width = double / 2;
    let (values, d) = (view(gate_up)?, view(d)?);
    let out = unwritten((rows, double))?;
    update(&out, |out| {
        let rows = out.par_chunks_mut(double).zip(values.par_chunks(double)).zip(d.par_chunks(width));
        rows.for_each(|((out, row), d)| {
            wide(
                #[inline(always)]
                || {
                    let (gate, up) = row.split_at(width);
                    let (d_gate, d_up) = out.split_at_mut(width);
                    for j in 0..width {
                        let s = sigmoid(gate[j]);
                        d_up[j] = d[j] * gate[j] * s;
                        d_gate[j] = d[j] * up[j] * s * (1.0 + gate[j] * (1.0 - s));
                    }
                },
            )
        });
        Ok(())
    })?;
    Ok(out)
}
