//! The pass over a head: statistics, and on request the direction that backward scales.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::super::gpu::{self, Gpu};
use super::super::matmul::{Mat, gemm_blocks};
use super::super::simd::wide;
use super::super::storage::view;
use super::sweep::Sweep;
use super::{LogProbs, RowStatistics, check_shapes, chunk_rows, collect, gpu_chunk_rows, softmax_row};

/// hidden `[targets, width]`, head `[vocabulary, width]`, target tokens `[targets]` → statistics and,
/// if asked for, d log p / d hidden `[targets, width]`.
pub fn log_probs(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    with_direction: bool,
) -> Result<(LogProbs, Option<Tensor>)> {
    let (rows, width, vocabulary) = check_shapes(hidden, head, targets)?;
    if let Some(gpu) = Gpu::of(hidden)? {
        let chunk = gpu_chunk_rows(vocabulary, hidden.dtype());
        return by_kernels(&Sweep { gpu, hidden, head, targets, chunk }, with_direction);
    }
    let (h, w) = (view(hidden)?, view(head)?);
    let chunk = chunk_rows(vocabulary).min(rows.max(1));
    let mut logits = vec![0f32; chunk * vocabulary];
    let mut direction = vec![0f32; if with_direction { rows * width } else { 0 }];
    let mut statistics = vec![RowStatistics::default(); rows];
    let head_mat = Mat::rows(0, vocabulary, width, width);
    for (index, statistics) in statistics.chunks_mut(chunk).enumerate() {
        let (start, n) = (index * chunk, statistics.len());
        let chunk_mat = Mat::rows(0, n, vocabulary, vocabulary);
        let hidden = Mat::rows(start * width, n, width, width);
        gemm_blocks((&mut logits, chunk_mat), (&h, hidden), (&w, head_mat.t()), 1.0, false);
        logits.par_chunks_mut(vocabulary).zip(statistics).enumerate().for_each(|(i, (logits, row))| {
            *row = wide(
                #[inline(always)]
                || softmax_row(logits, targets[start + i] as usize),
            );
        });
        if with_direction {
            gemm_blocks((&mut direction, hidden), (&logits, chunk_mat), (&w, head_mat), -1.0, false);
        }
    }
    direction.par_chunks_mut(width).zip(targets).for_each(|(row, &target)| {
        row.iter_mut().zip(&w[target as usize * width..][..width]).for_each(|(d, w)| *d += w);
    });
    let direction = with_direction.then(|| Tensor::from_vec(direction, (rows, width), hidden.device()));
    Ok((collect(&statistics), direction.transpose()?))
}

pub(super) fn by_kernels(sweep: &Sweep<'_>, with_direction: bool) -> Result<(LogProbs, Option<Tensor>)> {
    let Sweep { gpu, hidden, head, .. } = *sweep;
    if !with_direction {
        return Ok((sweep.statistics()?, None));
    }
    let direction = gpu::unwritten(hidden.shape(), hidden.dtype(), hidden.device())?;
    let statistics = sweep.gradients(None, |start, gradient| {
        let part = direction.narrow(0, start, gradient.dim(0)?)?;
        gpu.matmul(&part, gradient, head, 1.0, false)
    })?;
    Ok((statistics, Some(direction)))
}
