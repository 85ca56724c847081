//! The gated activation of the feed-forward block: silu(gate) · up, and its backward.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::checks::{expect, grid_of_rows};
use super::gpu::{self, Gpu};
use super::simd::{exp, wide};
use super::storage::{unwritten, update, view};

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// gate_up `[rows, 2·width]`, gate first → silu(gate) · up `[rows, width]`.
pub fn silu_mul(gate_up: &Tensor) -> Result<Tensor> {
    let (rows, double) = gate_up.dims2()?;
    let width = double / 2;
    if let Some(gpu) = Gpu::of(gate_up)? {
        expect(gate_up.dtype(), &[gate_up])?;
        let out = gpu::unwritten((rows, width), gate_up.dtype(), gate_up.device())?;
        let arguments = [(&out).into(), gate_up.into(), rows.into(), width.into()];
        let kernel = format!("silu_mul_{}", gpu::suffix(gate_up)?);
        gpu.launch(&kernel, grid_of_rows(rows, width, gate_up.dtype()), &arguments)?;
        return Ok(out);
    }
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
    if d.dims2()? != (rows, width) {
        bail!("gradient {:?} of the gated activation of [{rows}, {double}]", d.shape())
    }
    if let Some(gpu) = Gpu::of(gate_up)? {
        expect(gate_up.dtype(), &[gate_up, d])?;
        let out = gpu::unwritten((rows, double), gate_up.dtype(), gate_up.device())?;
        let arguments = [(&out).into(), gate_up.into(), d.into(), rows.into(), width.into()];
        let kernel = format!("silu_mul_backward_{}", gpu::suffix(gate_up)?);
        gpu.launch(&kernel, grid_of_rows(rows, width, gate_up.dtype()), &arguments)?;
        return Ok(out);
    }
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

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::*;

    #[test]
    fn kernels_agree() {
        trial::each(|trial| {
            for (rows, width) in [(1, 1), (3, 37), (5, 520), (2, 2056)] {
                let (x, d) = (trial.random(rows, 2 * width), trial.random(rows, width));
                let want = trial.cpu(|| silu_mul(&x.cpu)).unwrap();
                trial.close(&silu_mul(&x.gpu).unwrap(), &want);
                let want = trial.cpu(|| silu_mul_backward(&x.cpu, &d.cpu)).unwrap();
                trial.close(&silu_mul_backward(&x.gpu, &d.gpu).unwrap(), &want);
            }
        });
    }

    #[test]
    fn far_gates_are_shut_or_open() {
        trial::each(|trial| {
            let row = |values: &[f32]| {
                Tensor::new(values, &candle_core::Device::Cpu).unwrap().unsqueeze(0).unwrap()
            };
            let (x, d) =
                (trial.twin(&row(&[-1000.0, -90.0, 1000.0, 2.0, 3.0, 4.0])), trial.twin(&row(&[1.0; 3])));
            trial.close(&silu_mul(&x.gpu).unwrap(), &row(&[0.0, 0.0, 4000.0]));
            let want = row(&[0.0, 0.0, 4.0, 0.0, 0.0, 1000.0]);
            trial.close(&silu_mul_backward(&x.gpu, &d.gpu).unwrap(), &want);
        });
    }
}
