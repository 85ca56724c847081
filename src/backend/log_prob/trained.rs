//! Backward through a head that is trained itself: the logits are made again, chunk by chunk.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::super::gpu::{self, Gpu};
use super::super::matmul::{Mat, gemm_blocks};
use super::super::simd::wide;
use super::super::storage::{update, view};
use super::sweep::Sweep;
use super::{check_shapes, chunk_rows, gpu_chunk_rows, softmax_row};

/// Given `coefficients` = ∂ loss / ∂ log p `[targets]`: returns ∂ loss / ∂ hidden `[targets, width]` and
/// adds ∂ loss / ∂ head to `head_grad` `[vocabulary, width]`, float32.
pub fn head_backward(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    coefficients: &[f64],
    head_grad: &Tensor,
) -> Result<Tensor> {
    let (rows, width, vocabulary) = check_shapes(hidden, head, targets)?;
    if let Some(gpu) = Gpu::of(hidden)? {
        let chunk = gpu_chunk_rows(vocabulary, hidden.dtype());
        return by_kernels(&Sweep { gpu, hidden, head, targets, chunk }, coefficients, head_grad);
    }
    let (h, w) = (view(hidden)?, view(head)?);
    let chunk = chunk_rows(vocabulary);
    let mut logits = vec![0f32; chunk.min(rows) * vocabulary];
    let mut d_hidden = vec![0f32; rows * width];
    let head_mat = Mat::rows(0, vocabulary, width, width);
    update(head_grad, |grad| {
        for start in (0..rows).step_by(chunk) {
            let n = chunk.min(rows - start);
            let hidden = Mat::rows(start * width, n, width, width);
            let chunk_mat = Mat::rows(0, n, vocabulary, vocabulary);
            gemm_blocks((&mut logits, chunk_mat), (&h, hidden), (&w, head_mat.t()), 1.0, false);
            logits[..n * vocabulary].par_chunks_mut(vocabulary).enumerate().for_each(|(i, row)| {
                let target = targets[start + i] as usize;
                let coefficient = coefficients[start + i] as f32;
                wide(
                    #[inline(always)]
                    || {
                        softmax_row(row, target);
                        for p in row.iter_mut() {
                            *p *= -coefficient;
                        }
                    },
                );
                row[target] += coefficient;
            });
            gemm_blocks((&mut d_hidden, hidden), (&logits, chunk_mat), (&w, head_mat), 1.0, false);
            gemm_blocks((grad, head_mat), (&logits, chunk_mat.t()), (&h, hidden), 1.0, true);
        }
        Ok(())
    })?;
    Tensor::from_vec(d_hidden, (rows, width), head.device())
}

pub(super) fn by_kernels(sweep: &Sweep<'_>, coefficients: &[f64], head_grad: &Tensor) -> Result<Tensor> {
    let Sweep { gpu, hidden, head, .. } = *sweep;
    let d_hidden = gpu::unwritten(hidden.shape(), hidden.dtype(), hidden.device())?;
    sweep.backward(coefficients, |start, gradient| {
        let rows = gradient.dim(0)?;
        gpu.matmul(&d_hidden.narrow(0, start, rows)?, gradient, head, 1.0, false)?;
        gpu.matmul(head_grad, &gradient.t()?, &hidden.narrow(0, start, rows)?, 1.0, true)
    })?;
    Ok(d_hidden)
}
