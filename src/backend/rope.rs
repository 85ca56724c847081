//! Rotary position embedding in place, and its backward (the inverse rotation). Halves are rotated
//! against each other, as Hugging Face's checkpoints expect. Source: 2104.09864.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::lanes::wide;
use super::norm::Heads;
use super::storage::{update, view};

/// Rotates the heads `at` of x `[rows, width]`. `cos` and `sin` are `[rows, head_dim / 2]`;
/// `backward` rotates the other way.
pub fn rotate(x: &Tensor, at: Heads, cos: &Tensor, sin: &Tensor, backward: bool) -> Result<()> {
    let (rows, width) = x.dims2()?;
    let half = at.head_dim / 2;
    if cos.dims2()? != (rows, half) || at.start + at.heads * at.head_dim > width {
        bail!("rotation of {rows} rows with tables of {:?}", cos.shape())
    }
    let (cos, sin) = (view(cos)?, view(sin)?);
    let sign = if backward { -1.0 } else { 1.0 };
    update(x, |x| {
        x.par_chunks_mut(width).enumerate().for_each(|(row, x)| {
            wide(
                #[inline(always)]
                || {
                    let (c, s) = (&cos[row * half..][..half], &sin[row * half..][..half]);
                    for h in 0..at.heads {
                        let head = &mut x[at.start + h * at.head_dim..][..at.head_dim];
                        let (a, b) = head.split_at_mut(half);
                        for j in 0..half {
                            let (x, y, s) = (a[j], b[j], sign * s[j]);
                            a[j] = x * c[j] - y * s;
                            b[j] = y * c[j] + x * s;
                        }
                    }
                },
            )
        });
        Ok(())
    })
}
