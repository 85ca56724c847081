//! Rotary position embedding in place, and its backward (the inverse rotation). Halves are rotated
//! against each other, as Hugging Face's checkpoints expect. Source: 2104.09864.

use candle_core::{DType, Result, Tensor, bail};
use rayon::prelude::*;

use super::checks::{expect, grid_of_rows};
use super::gpu::{self, Gpu};
use super::norm::Heads;
use super::simd::wide;
use super::storage::{update, view};

/// Rotates the heads `at` of x `[rows, width]`. `cos` and `sin` are `[rows, head_dim / 2]`;
/// `backward` rotates the other way.
pub fn rotate(x: &Tensor, at: Heads, cos: &Tensor, sin: &Tensor, backward: bool) -> Result<()> {
    let (rows, width) = x.dims2()?;
    let half = at.head_dim / 2;
    if cos.dims2()? != (rows, half)
        || sin.dims2()? != (rows, half)
        || at.start + at.heads * at.head_dim > width
    {
        bail!("rotation of {rows} rows with tables of {:?}", cos.shape())
    }
    let sign: f32 = if backward { -1.0 } else { 1.0 };
    if let Some(gpu) = Gpu::of(x)? {
        expect(x.dtype(), &[x])?;
        expect(DType::F32, &[cos, sin])?;
        let first = x.narrow(1, at.start, at.heads * at.head_dim)?;
        let numbers = [rows, at.heads, width, half].map(Into::into);
        let operands = [(&first).into(), cos.into(), sin.into(), sign.into()];
        let arguments: Vec<_> = operands.into_iter().chain(numbers).collect();
        let grid = grid_of_rows(rows, at.heads * half, x.dtype());
        return gpu.launch(&format!("rotate_{}", gpu::suffix(x)?), grid, &arguments);
    }
    let (cos, sin) = (view(cos)?, view(sin)?);
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

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::*;

    #[test]
    fn kernels_agree() {
        trial::each(|trial| {
            for (rows, at) in [
                (3, Heads { start: 5, heads: 3, head_dim: 10 }),
                (9, Heads { start: 8, heads: 4, head_dim: 64 }),
                (2, Heads { start: 0, heads: 9, head_dim: 128 }),
            ] {
                let x = trial.random(rows, at.start + at.heads * at.head_dim + 8);
                let angles = trial.random(rows, at.head_dim / 2).cpu;
                let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
                let tables = (trial.put(&cos), trial.put(&sin));
                for backward in [false, true] {
                    rotate(&x.gpu, at, &tables.0, &tables.1, backward).unwrap();
                    trial.cpu(|| rotate(&x.cpu, at, &cos, &sin, backward)).unwrap();
                    trial.close(&x.gpu, &x.cpu);
                }
            }
        });
    }
}
