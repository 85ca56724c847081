//! Rows times factors, in place.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::checks::{expect, grid_of_rows};
use super::gpu::{self, Arg, Gpu};
use super::storage::update;

/// Elements per task.
const BLOCK: usize = 1 << 14;

/// x ← factor · x, for rows `[rows, width]`.
pub fn scale(x: &Tensor, factor: f64) -> Result<()> {
    if factor == 1.0 {
        return Ok(());
    }
    let factor = factor as f32;
    if let Some(gpu) = Gpu::of(x)? {
        return launch(gpu, x, Arg::Null, factor);
    }
    update(x, |values| {
        values.par_chunks_mut(BLOCK).for_each(|part| part.iter_mut().for_each(|x| *x *= factor));
        Ok(())
    })
}

/// Row i of `[rows, width]` ← factors\[i\] · row i. Errors unless there is a factor for each row.
pub fn scale_rows(rows: &Tensor, factors: &[f64]) -> Result<()> {
    let (count, width) = rows.dims2()?;
    if factors.len() != count {
        bail!("{} factors for {count} rows", factors.len())
    }
    if let Some(gpu) = Gpu::of(rows)? {
        if count == 0 {
            return Ok(());
        }
        let factors: Vec<f32> = factors.iter().map(|&factor| factor as f32).collect();
        let factors = Tensor::from_vec(factors, count, rows.device())?;
        return launch(gpu, rows, (&factors).into(), 1.0);
    }
    update(rows, |values| {
        values.par_chunks_mut(width).zip(factors).for_each(|(row, &factor)| {
            row.iter_mut().for_each(|x| *x *= factor as f32);
        });
        Ok(())
    })
}

fn launch(gpu: Gpu, x: &Tensor, factors: Arg<'_>, factor: f32) -> Result<()> {
    let (rows, width) = x.dims2()?;
    expect(x.dtype(), &[x])?;
    let arguments = [x.into(), factors, factor.into(), rows.into(), width.into()];
    gpu.launch(&format!("scale_{}", gpu::suffix(x)?), grid_of_rows(rows, width, x.dtype()), &arguments)
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::*;

    #[test]
    fn rows_are_scaled_each_by_its_own() {
        let x = Tensor::new(&[[1f32, 2.0], [3.0, 4.0]], &candle_core::Device::Cpu).unwrap();
        scale(&x, 2.0).unwrap();
        scale_rows(&x, &[0.5, -1.0]).unwrap();
        assert_eq!(x.to_vec2::<f32>().unwrap(), [[1.0, 2.0], [-6.0, -8.0]]);
        assert!(scale_rows(&x, &[1.0]).unwrap_err().to_string().contains("1 factors for 2 rows"));
    }

    #[test]
    fn kernels_agree() {
        trial::each(|trial| {
            for (rows, width) in [(1, 1), (3, 37), (5, 2056)] {
                let x = trial.random(rows, width);
                let factors: Vec<f64> = (0..rows).map(|row| 0.3 - row as f64).collect();
                scale(&x.gpu, 1.0 / 0.7).unwrap();
                scale_rows(&x.gpu, &factors).unwrap();
                trial.cpu(|| scale(&x.cpu, 1.0 / 0.7).and_then(|()| scale_rows(&x.cpu, &factors))).unwrap();
                trial.close(&x.gpu, &x.cpu);
            }
        });
    }
}
