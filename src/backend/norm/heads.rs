//! Norms of heads inside rows, in place.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::super::gpu::Gpu;
use super::super::simd::wide;
use super::super::storage::{Shared, update, view};
use super::rows::{add_row_gradient, inverse_rms};
use super::{Heads, launch};

/// Normalises every head of every row in place; returns 1/rms `[rows, heads]`. weight `[head_dim]`.
pub fn rms_norm_heads(x: &Tensor, at: Heads, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if let Some(gpu) = Gpu::of(x)? {
        return launch::forward(gpu, (x, x), None, at, weight, eps)?.reshape((rows, at.heads));
    }
    let w = view(weight)?;
    let mut inverse = vec![0f32; rows * at.heads];
    update(x, |x| {
        x.par_chunks_mut(width).zip(inverse.par_chunks_mut(at.heads)).for_each(|(x, inverse)| {
            wide(
                #[inline(always)]
                || {
                    for (h, r) in inverse.iter_mut().enumerate() {
                        let head = &mut x[at.start + h * at.head_dim..][..at.head_dim];
                        *r = inverse_rms(head, eps);
                        for j in 0..at.head_dim {
                            head[j] *= *r * w[j];
                        }
                    }
                },
            )
        });
        Ok(())
    })?;
    Tensor::from_vec(inverse, (rows, at.heads), x.device())
}

/// Turns the gradient of the normalised heads inside `dx` into that of the heads before, in place.
/// `before` `[rows, width]` holds the heads as they were.
pub fn rms_norm_heads_backward(
    dx: &Tensor,
    before: &Tensor,
    at: Heads,
    weight: &Tensor,
    inverse: &Tensor,
    weight_grad: Option<&Tensor>,
) -> Result<()> {
    let (rows, width) = dx.dims2()?;
    if before.dims2()? != (rows, width) {
        bail!("heads before the norm: {:?}, gradient: [{rows}, {width}]", before.shape())
    }
    if let Some(gpu) = Gpu::of(dx)? {
        if let Some(grad) = weight_grad {
            launch::weight_grad(gpu, grad, (before, dx), at, inverse)?;
        }
        return launch::backward(gpu, (dx, before, dx), at, weight, inverse);
    }
    let (xs, w, inv) = (view(before)?, view(weight)?, view(inverse)?);
    update(dx, |values| {
        if let Some(grad) = weight_grad {
            update(grad, |grad| {
                for row in 0..rows {
                    for h in 0..at.heads {
                        let start = row * width + at.start + h * at.head_dim;
                        for (j, grad) in grad.iter_mut().enumerate() {
                            *grad += values[start + j] * xs[start + j] * inv[row * at.heads + h];
                        }
                    }
                }
                Ok(())
            })?;
        }
        let shared = Shared::new(values);
        (0..rows).into_par_iter().for_each(|row| {
            let mut dy = vec![0f32; at.head_dim];
            for h in 0..at.heads {
                let start = row * width + at.start + h * at.head_dim;
                // SAFETY: each task has its own row
                let dx = unsafe { shared.slice(start, at.head_dim) };
                dy.copy_from_slice(dx);
                dx.fill(0.0);
                wide(
                    #[inline(always)]
                    || add_row_gradient(dx, &xs[start..][..at.head_dim], &w, inv[row * at.heads + h], &dy),
                );
            }
        });
        Ok(())
    })
}
