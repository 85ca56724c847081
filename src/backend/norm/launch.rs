//! The kernels of `norm.cu`: every head of every row is a row of theirs.

use candle_core::{DType, Result, Tensor};

use super::super::checks::{expect, vector};
use super::super::column_sums::{self, Terms};
use super::super::gpu::{self, Arg, Gpu, Grid};
use super::Heads;

/// Blocks and threads for rows of `width`, and how many threads have a row: a warp, which a block has
/// several of, or the block.
fn teams(rows: usize, width: usize, dtype: DType) -> (Grid, usize) {
    const WARP: usize = 32;
    const WARPS: usize = 8;
    // what a thread keeps in registers
    const KEPT: usize = 2;
    let threads = width.div_ceil(KEPT * vector(dtype)).next_multiple_of(WARP);
    if threads <= WARP {
        (Grid::of(rows.div_ceil(WARPS).max(1), (WARP * WARPS) as u32), WARP)
    } else {
        let threads = threads.min(1024);
        (Grid::of(rows.max(1), threads as u32), threads)
    }
}

/// y ← the norm of the heads of x, or of x + b, which goes to `sum`; returns 1/rms `[rows · heads]`.
pub fn forward(
    gpu: Gpu,
    (y, x): (&Tensor, &Tensor),
    sum: Option<(&Tensor, &Tensor)>,
    at: Heads,
    weight: &Tensor,
    eps: f64,
) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    expect(x.dtype(), &[x, y, weight])?;
    if let Some((_, b)) = sum {
        expect(x.dtype(), &[b])?;
    }
    let rows = rows * at.heads;
    let inverse = gpu::unwritten(rows, DType::F32, x.device())?;
    let (y, x) = (part(y, at)?, part(x, at)?);
    let (grid, team) = teams(rows, at.head_dim, x.dtype());
    let arguments = [
        (&y).into(),
        (&inverse).into(),
        sum.map(|(sum, _)| sum).into(),
        (&x).into(),
        sum.map(|(_, b)| b).into(),
        weight.into(),
        rows.into(),
        at.heads.into(),
        width.into(),
        at.head_dim.into(),
        Arg::F32(eps as f32),
        team.into(),
    ];
    gpu.launch(&format!("rms_norm_{}", gpu::suffix(&x)?), grid, &arguments)?;
    Ok(inverse)
}

/// dx gains the gradient of the norm of x, or becomes it where it is dy.
pub fn backward(
    gpu: Gpu,
    (dx, x, dy): (&Tensor, &Tensor, &Tensor),
    at: Heads,
    weight: &Tensor,
    inverse: &Tensor,
) -> Result<()> {
    let (rows, width) = x.dims2()?;
    expect(x.dtype(), &[dx, x, dy, weight])?;
    expect(DType::F32, &[inverse])?;
    let rows = rows * at.heads;
    let (into, from, given) = (part(dx, at)?, part(x, at)?, part(dy, at)?);
    let (grid, team) = teams(rows, at.head_dim, x.dtype());
    let arguments = [
        (&into).into(),
        (&from).into(),
        (&given).into(),
        weight.into(),
        inverse.into(),
        rows.into(),
        at.heads.into(),
        width.into(),
        at.head_dim.into(),
        usize::from(!std::ptr::eq(dx, dy)).into(),
        team.into(),
    ];
    gpu.launch(&format!("rms_norm_backward_{}", gpu::suffix(x)?), grid, &arguments)
}

/// grad ← grad + Σ dy · x / rms over rows and heads.
pub fn weight_grad(
    gpu: Gpu,
    grad: &Tensor,
    (x, dy): (&Tensor, &Tensor),
    at: Heads,
    inverse: &Tensor,
) -> Result<()> {
    expect(x.dtype(), &[x, dy])?;
    expect(DType::F32, &[inverse, grad])?;
    column_sums::add(gpu, grad, &Terms { dy, at, times: Some((x, inverse)) })
}

/// From the first of the heads on.
fn part(x: &Tensor, at: Heads) -> Result<Tensor> {
    x.narrow(1, at.start, at.heads * at.head_dim)
}
