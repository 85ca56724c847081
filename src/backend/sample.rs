//! Logits of hidden states, and the tokens that kernels choose from them.

use candle_core::{DType, Result, Tensor, bail};

use super::gpu::{self, Arg, Gpu, Grid};
use super::row_product::row_product;

/// What kernels write where the logits are not finite.
const NO_TOKEN: u32 = u32::MAX;

/// How a kernel chooses.
#[derive(Debug, Clone, Copy)]
pub enum Draw<'a> {
    /// The most probable token, the first of equals.
    Greedy,
    /// By softmax(logits / temperature): the token whose share of [0, 1), in token order, holds the row's number.
    Sample { temperature: f64, uniforms: &'a [f64] },
}

/// hidden `[rows, width]`, head `[vocabulary, width]`, both contiguous → `[rows, vocabulary]`, float32. On the
/// CPU a row's bits depend on that row alone.
pub fn logits(hidden: &Tensor, head: &Tensor) -> Result<Tensor> {
    let Some(gpu) = Gpu::of(hidden)? else { return row_product(hidden, head) };
    let logits = gpu::unwritten((hidden.dim(0)?, head.dim(0)?), DType::F32, hidden.device())?;
    gpu.matmul(&logits, hidden, &head.t()?, 1.0, false)?;
    Ok(logits)
}

/// A token each for `rows` of the logits `[*, vocabulary]`, float32; `None` for a row whose logits are not
/// finite. `None` in all if the logits lie where there is no kernel. Errors if rows and numbers do not agree.
pub fn tokens(logits: &Tensor, rows: &[u32], draw: Draw<'_>) -> Result<Option<Vec<Option<u32>>>> {
    let Some(gpu) = Gpu::of(logits)? else { return Ok(None) };
    let ((of, vocabulary), n, device) = (logits.dims2()?, rows.len(), logits.device());
    if logits.dtype() != DType::F32 || rows.iter().any(|&row| row as usize >= of) {
        bail!("tokens from rows {rows:?} of {logits:?}")
    }
    if n == 0 {
        return Ok(Some(Vec::new()));
    }
    let stride = gpu::row_stride(logits)?;
    let tokens = gpu::unwritten(n, DType::U32, device)?;
    let rows = Tensor::from_slice(rows, n, device)?;
    // at least two warps, as the kernel wants
    let threads = (vocabulary / 16).next_multiple_of(32).clamp(64, 1024) as u32;
    let grid = Grid::of(n, threads);
    let from = [Arg::from(&tokens), logits.into(), (&rows).into()];
    let shape = [Arg::from(vocabulary), stride.into()];
    match draw {
        Draw::Greedy => gpu.launch("greedy_tokens", grid, &[&from[..], &shape].concat())?,
        Draw::Sample { temperature, uniforms } => {
            if uniforms.len() != n {
                bail!("{} uniform numbers for {n} tokens", uniforms.len())
            }
            // float64, as bits: kernels take no tensor of that
            let bits = uniforms.iter().map(|u| u.to_bits() as i64).collect();
            let bits = Tensor::from_vec(bits, n, device)?;
            let rate = (std::f64::consts::LOG2_E / temperature) as f32;
            let by = [Arg::from(&bits), rate.into()];
            gpu.launch("drawn_tokens", grid, &[&from[..], &by, &shape].concat())?;
        }
    }
    let tokens = tokens.to_vec1::<u32>()?;
    Ok(Some(tokens.into_iter().map(|token| (token != NO_TOKEN).then_some(token)).collect()))
}
