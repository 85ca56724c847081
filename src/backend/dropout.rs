//! Dropout whose mask is a function of keys, so that it can be made again in backward and does not
//! depend on how rows are packed.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::random::Stream;
use super::storage::view;

/// x `[rows, width]` → x · mask / (1 − p); element j of row i is kept where the stream of
/// `row_keys[i]` says so. The same call on a gradient is its backward.
pub fn dropout(x: &Tensor, p: f64, stream: Stream, row_keys: &[u64]) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if row_keys.len() != rows {
        bail!("{} row keys for {rows} rows", row_keys.len())
    }
    let values = view(x)?;
    let scale = (1.0 / (1.0 - p)) as f32;
    let mut out = vec![0f32; rows * width];
    out.par_chunks_mut(width).zip(values.par_chunks(width)).zip(row_keys).for_each(|((out, x), &key)| {
        let stream = stream.key(key);
        for j in 0..width {
            out[j] = if stream.uniform(j as u64) < p { 0.0 } else { x[j] * scale };
        }
    });
    Tensor::from_vec(out, (rows, width), x.device())
}
