//! Log-probabilities of target tokens from hidden rows × head, in chunks of rows: the logits of all
//! rows never exist at once.
//!
//! With a frozen head, ∂ log p(y) / ∂h = W\[y\] − Σ_v p_v W\[v\] does not depend on the loss, so the same
//! pass can emit that direction and backward only scales its rows. With a trained head the logits
//! are made again in [`head_backward`].

mod frozen;
mod sweep;
mod trained;

pub use frozen::log_probs;
pub use trained::head_backward;

use candle_core::{DType, Result, Tensor, bail};

use super::gpu::Gpu;
use super::simd::{ExpSums, exp_and_sums, max, scale_and_square_sum};

/// Logits that exist at once on the CPU, elements (64 MiB of float32).
const CHUNK_ELEMENTS: usize = 1 << 24;

/// Bytes of the logits, and of their gradient, that exist at once on a GPU: with the matrix products'
/// workspace of 32 MiB less than 512 MB, and enough rows to keep a large GPU busy.
const GPU_CHUNK_BYTES: usize = 448 << 20;

/// Rows of a tile of a matrix product on a GPU.
const TILE: usize = 128;

/// What one pass over the head tells of each target, all `[targets]`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LogProbs {
    /// log p(target), nats.
    pub log_prob: Vec<f64>,
    /// Entropy of the predicted distribution, nats.
    pub entropy: Vec<f64>,
    /// Mean logit over the vocabulary.
    pub mean_logit: Vec<f64>,
    /// ln Σ_v p(v)², nats.
    pub log_square_sum: Vec<f64>,
    /// Whether the target is the most probable token.
    pub is_arg_max: Vec<bool>,
}

#[derive(Debug, Clone, Copy, Default)]
struct RowStatistics {
    log_prob: f64,
    entropy: f64,
    mean_logit: f64,
    log_square_sum: f64,
    is_arg_max: bool,
}

fn collect(rows: &[RowStatistics]) -> LogProbs {
    LogProbs {
        log_prob: rows.iter().map(|r| r.log_prob).collect(),
        entropy: rows.iter().map(|r| r.entropy).collect(),
        mean_logit: rows.iter().map(|r| r.mean_logit).collect(),
        log_square_sum: rows.iter().map(|r| r.log_square_sum).collect(),
        is_arg_max: rows.iter().map(|r| r.is_arg_max).collect(),
    }
}

/// Rows whose logits exist at once on the CPU, from the vocabulary's size alone.
pub fn chunk_rows(vocabulary: usize) -> usize {
    (CHUNK_ELEMENTS / vocabulary).clamp(64, 2048)
}

/// Rows whose logits exist at once on a GPU where activations are `dtype`. A logit takes
/// [`gpu_logit_bytes`].
pub fn gpu_chunk_rows(vocabulary: usize, dtype: DType) -> usize {
    let rows = GPU_CHUNK_BYTES / (vocabulary * gpu_logit_bytes(dtype));
    if rows < TILE { rows.max(1) } else { rows - rows % TILE }
}

/// Bytes of a logit on a GPU: float32, which its gradient takes the place of if it is float32 too.
pub fn gpu_logit_bytes(dtype: DType) -> usize {
    if dtype == DType::F32 { 4 } else { 4 + dtype.size_in_bytes() }
}

/// Rows whose logits exist at once where `hidden` lies.
pub fn chunk_rows_beside(hidden: &Tensor, vocabulary: usize) -> Result<usize> {
    Ok(match Gpu::of(hidden)? {
        Some(_) => gpu_chunk_rows(vocabulary, hidden.dtype()),
        None => chunk_rows(vocabulary),
    })
}

fn check_shapes(hidden: &Tensor, head: &Tensor, targets: &[u32]) -> Result<(usize, usize, usize)> {
    let (rows, width) = hidden.dims2()?;
    let (vocabulary, head_width) = head.dims2()?;
    if rows != targets.len() || width != head_width {
        bail!(
            "{} targets for hidden rows [{rows}, {width}] and a head [{vocabulary}, {head_width}]",
            targets.len()
        )
    }
    match targets.iter().find(|&&t| t as usize >= vocabulary) {
        Some(bad) => bail!("token {bad} is past the vocabulary of {vocabulary}"),
        None => Ok((rows, width, vocabulary)),
    }
}

/// Turns a row of logits into probabilities and says what it was.
#[inline(always)]
fn softmax_row(logits: &mut [f32], target: usize) -> RowStatistics {
    let top = max(logits);
    let chosen = logits[target];
    let ExpSums { exp, weighted, shifted } = exp_and_sums(logits, top);
    let log_sum = exp.ln();
    let scale = exp.recip() as f32;
    let squares = scale_and_square_sum(logits, scale);
    RowStatistics {
        log_prob: f64::from(chosen) - f64::from(top) - log_sum,
        entropy: log_sum - weighted / exp,
        mean_logit: shifted / logits.len() as f64 + f64::from(top),
        log_square_sum: squares.ln(),
        is_arg_max: chosen >= top,
    }
}

#[cfg(test)]
mod tests;
