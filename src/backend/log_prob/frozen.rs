//! The pass over a head: statistics, and on request the direction that backward scales.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::super::lanes::wide;
use super::super::matmul::{Mat, gemm_on_thread};
use super::super::storage::{Shared, view};
use super::{LogProbs, RowStatistics, check_shapes, chunk_rows, collect, softmax_row};

/// hidden `[targets, width]`, head `[vocabulary, width]`, target tokens `[targets]` → statistics and,
/// if asked for, d log p / d hidden `[targets, width]`.
pub fn log_probs(
    hidden: &Tensor,
    head: &Tensor,
    targets: &[u32],
    with_direction: bool,
) -> Result<(LogProbs, Option<Tensor>)> {
    let (rows, width, vocabulary) = check_shapes(hidden, head, targets)?;
    let (h, w) = (view(hidden)?, view(head)?);
    let chunk = chunk_rows(vocabulary);
    let mut direction = vec![0f32; if with_direction { rows * width } else { 0 }];
    let mut statistics = vec![RowStatistics::default(); rows];
    let shared = Shared::new(&mut direction);
    let head_mat = Mat::rows(0, vocabulary, width, width);
    statistics.par_chunks_mut(chunk).enumerate().for_each_init(Vec::new, |buffer, (index, statistics)| {
        let (start, n) = (index * chunk, statistics.len());
        buffer.resize(n * vocabulary, 0.0);
        let logits = Mat::rows(0, n, vocabulary, vocabulary);
        let hidden = Mat::rows(start * width, n, width, width);
        // SAFETY: the buffer is this task's own and holds [n, vocabulary]
        unsafe {
            gemm_on_thread((Shared::new(buffer), logits), (&h, hidden), (&w, head_mat.t()), 1.0, false)
        };
        wide(|| {
            for (i, row) in statistics.iter_mut().enumerate() {
                *row = softmax_row(&mut buffer[i * vocabulary..][..vocabulary], targets[start + i] as usize);
            }
        });
        if with_direction {
            // SAFETY: each task has its own rows of the direction
            unsafe {
                gemm_on_thread((shared, hidden), (buffer, logits), (&w, head_mat), -1.0, false);
                for (i, row) in shared.slice(start * width, n * width).chunks_exact_mut(width).enumerate() {
                    let chosen = &w[targets[start + i] as usize * width..][..width];
                    row.iter_mut().zip(chosen).for_each(|(d, w)| *d += w);
                }
            }
        }
    });
    let direction = with_direction.then(|| Tensor::from_vec(direction, (rows, width), hidden.device()));
    Ok((collect(&statistics), direction.transpose()?))
}
