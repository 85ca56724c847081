//! Norms of whole rows.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::super::gpu::{self, Gpu};
use super::super::residual::add;
use super::super::simd::{dot, dot3, wide};
use super::super::storage::{unwritten, update, view};
use super::{Heads, launch};

/// Rows per task.
const BLOCK: usize = 64;

/// x `[rows, width]`, weight `[width]` → y `[rows, width]` and 1/rms `[rows]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let (rows, width) = x.dims2()?;
    if weight.dims1()? != width {
        bail!("norm of [{rows}, {width}] with a weight {:?}", weight.shape())
    }
    if let Some(gpu) = Gpu::of(x)? {
        let y = gpu::unwritten((rows, width), x.dtype(), x.device())?;
        let inverse = launch::forward(gpu, (&y, x), None, Heads::whole(width), weight, eps)?;
        return Ok((y, inverse));
    }
    let (values, w) = (view(x)?, view(weight)?);
    let y = unwritten((rows, width))?;
    let mut inverse = vec![0f32; rows];
    update(&y, |y| {
        let blocks = y.par_chunks_mut(BLOCK * width).zip(inverse.par_chunks_mut(BLOCK));
        blocks.enumerate().for_each(|(block, (y, inverse))| {
            wide(
                #[inline(always)]
                || {
                    let x = &values[block * BLOCK * width..];
                    for (i, r) in inverse.iter_mut().enumerate() {
                        let (x, y) = (&x[i * width..][..width], &mut y[i * width..][..width]);
                        *r = inverse_rms(x, eps);
                        for j in 0..width {
                            y[j] = x[j] * *r * w[j];
                        }
                    }
                },
            )
        });
        Ok(())
    })?;
    Ok((y, Tensor::from_vec(inverse, rows, x.device())?))
}

/// a + b, and `rms_norm` of it: (sum, y, 1/rms).
pub fn add_rms_norm(a: &Tensor, b: &Tensor, weight: &Tensor, eps: f64) -> Result<(Tensor, Tensor, Tensor)> {
    let (rows, width) = a.dims2()?;
    if let Some(gpu) = Gpu::of(a)? {
        if b.dims() != a.dims() || weight.dims1()? != width {
            bail!("norm of the sum of {:?} and {:?} with a weight {:?}", a.shape(), b.shape(), weight.shape())
        }
        let new = || gpu::unwritten((rows, width), a.dtype(), a.device());
        let (sum, y) = (new()?, new()?);
        let inverse = launch::forward(gpu, (&y, a), Some((&sum, b)), Heads::whole(width), weight, eps)?;
        return Ok((sum, y, inverse));
    }
    let sum = add(a, b)?;
    let (y, inverse) = rms_norm(&sum, weight, eps)?;
    Ok((sum, y, inverse))
}

#[inline(always)]
pub(super) fn inverse_rms(x: &[f32], eps: f64) -> f32 {
    (f64::from(dot(x, x)) / x.len() as f64 + eps).sqrt().recip() as f32
}

/// dx ← dx + the gradient of `rms_norm` with respect to x. dy `[rows, width]`, `inverse` as `rms_norm`
/// returned it; `weight_grad` `[width]`, if given, gains Σ_rows dy · x / rms.
pub fn rms_norm_backward(
    dx: &Tensor,
    x: &Tensor,
    weight: &Tensor,
    inverse: &Tensor,
    dy: &Tensor,
    weight_grad: Option<&Tensor>,
) -> Result<()> {
    let (rows, width) = x.dims2()?;
    if dx.dims2()? != (rows, width) || dy.dims2()? != (rows, width) || inverse.elem_count() != rows {
        bail!("gradients {:?} and {:?} of the norm of [{rows}, {width}]", dx.shape(), dy.shape())
    }
    if let Some(gpu) = Gpu::of(x)? {
        if let Some(grad) = weight_grad {
            launch::weight_grad(gpu, grad, (x, dy), Heads::whole(width), inverse)?;
        }
        return launch::backward(gpu, (dx, x, dy), Heads::whole(width), weight, inverse);
    }
    let (xs, w, inv, dys) = (view(x)?, view(weight)?, view(inverse)?, view(dy)?);
    update(dx, |dx| {
        dx.par_chunks_mut(BLOCK * width).enumerate().for_each(|(block, dx)| {
            wide(
                #[inline(always)]
                || {
                    for (i, dx) in dx.chunks_exact_mut(width).enumerate() {
                        let row = block * BLOCK + i;
                        let (x, dy) = (&xs[row * width..][..width], &dys[row * width..][..width]);
                        add_row_gradient(dx, x, &w, inv[row], dy);
                    }
                },
            )
        });
        Ok(())
    })?;
    match weight_grad {
        Some(grad) => update(grad, |grad| {
            wide(
                #[inline(always)]
                || {
                    for ((x, dy), r) in xs.chunks_exact(width).zip(dys.chunks_exact(width)).zip(inv.iter()) {
                        for j in 0..width {
                            grad[j] += dy[j] * x[j] * r;
                        }
                    }
                },
            );
            Ok(())
        }),
        None => Ok(()),
    }
}

#[inline(always)]
pub(super) fn add_row_gradient(dx: &mut [f32], x: &[f32], w: &[f32], r: f32, dy: &[f32]) {
    let width = x.len();
    let projection = dot3(dy, w, x) * r * r * r / width as f32;
    for j in 0..width {
        dx[j] += dy[j] * w[j] * r - x[j] * projection;
    }
}
