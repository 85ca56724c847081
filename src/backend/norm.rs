//! RMSNorm and its backward: y = x · w / rms(x), rms(x) = √(mean(x²) + ε). Source: 1910.07467.
//! Rows may be parts of wider rows, as the heads inside a fused query-key-value row are.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::lanes::{dot, dot3, wide};
use super::storage::{Shared, unwritten, update, view};

/// Rows a task.
const BLOCK: usize = 64;

/// x `[rows, width]`, weight `[width]` → y `[rows, width]` and 1/rms `[rows]`.
pub fn rms_norm(x: &Tensor, weight: &Tensor, eps: f64) -> Result<(Tensor, Tensor)> {
    let (rows, width) = x.dims2()?;
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

#[inline(always)]
fn inverse_rms(x: &[f32], eps: f64) -> f32 {
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
    let width = x.dim(1)?;
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
fn add_row_gradient(dx: &mut [f32], x: &[f32], w: &[f32], r: f32, dy: &[f32]) {
    let width = x.len();
    let projection = dot3(dy, w, x) * r * r * r / width as f32;
    for j in 0..width {
        dx[j] += dy[j] * w[j] * r - x[j] * projection;
    }
}

/// The heads inside `[rows, width]`: `heads` of them, `head_dim` wide, from column `start`.
#[derive(Debug, Clone, Copy)]
pub struct Heads {
    pub start: usize,
    pub heads: usize,
    pub head_dim: usize,
}

/// Normalises every head of every row in place; returns 1/rms `[rows, heads]`. weight `[head_dim]`.
pub fn rms_norm_heads(x: &Tensor, at: Heads, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
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
