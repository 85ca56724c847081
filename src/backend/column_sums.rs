//! Sums over rows on a GPU, in an order that depends on shapes alone.

use candle_core::{DType, Result, Tensor};

use super::checks::vector;
use super::gpu::{self, Gpu, Grid};
use super::norm::Heads;

/// Blocks that keep a large GPU busy, about.
const BLOCKS: usize = 1024;
/// A part of the rows has at least as many.
const ROWS: usize = 64;
/// Threads of a block, and those that have columns of their own.
const THREADS: u32 = 256;
const COLUMNS: usize = 32;

/// What is summed, over the rows of a matrix and the heads in each.
pub(super) struct Terms<'a> {
    /// `[rows, width]`.
    pub dy: &'a Tensor,
    pub at: Heads,
    /// x as wide as dy, and factors `[rows · heads]`: the terms are dy · x · factor, and else dy.
    pub times: Option<(&'a Tensor, &'a Tensor)>,
}

/// grad ← grad + the sum of the terms; float32, `[head_dim]`.
pub(super) fn add(gpu: Gpu, grad: &Tensor, terms: &Terms<'_>) -> Result<()> {
    let rows = terms.dy.dim(0)? * terms.at.heads;
    let width = terms.at.head_dim;
    let most = (BLOCKS / across(terms.dy, width)).clamp(1, rows.div_ceil(ROWS).max(1));
    let of_part = rows.div_ceil(most).max(1);
    let parts = rows.div_ceil(of_part);
    if parts <= 1 {
        return launch(gpu, grad, terms, of_part, true);
    }
    let partial = gpu::unwritten((parts, width), DType::F32, grad.device())?;
    launch(gpu, &partial, terms, of_part, false)?;
    launch(gpu, grad, &Terms { dy: &partial, at: Heads::whole(width), times: None }, parts, true)
}

fn across(dy: &Tensor, width: usize) -> usize {
    width.div_ceil(COLUMNS * vector(dy.dtype()))
}

/// A sum for each `of_part` rows: `sums` is `[parts, head_dim]`.
fn launch(gpu: Gpu, sums: &Tensor, terms: &Terms<'_>, of_part: usize, accumulate: bool) -> Result<()> {
    let Heads { start, heads, head_dim } = terms.at;
    let rows = terms.dy.dim(0)? * heads;
    let stride = gpu::row_stride(terms.dy)?;
    let from = |x: &Tensor| x.narrow(1, start, heads * head_dim);
    let dy = from(terms.dy)?;
    let x = terms.times.map(|(x, _)| from(x)).transpose()?;
    let factors = terms.times.map(|(_, factors)| factors);
    let blocks = [across(&dy, head_dim) as u32, rows.div_ceil(of_part).max(1) as u32, 1];
    let grid = Grid { blocks, threads: THREADS, shared: 0 };
    let numbers = [rows, heads, stride, head_dim, of_part, usize::from(accumulate)];
    let operands = [sums.into(), (&dy).into(), x.as_ref().into(), factors.into()];
    let arguments: Vec<_> = operands.into_iter().chain(numbers.map(Into::into)).collect();
    gpu.launch(&format!("column_sums_{}", gpu::suffix(&dy)?), grid, &arguments)
}
