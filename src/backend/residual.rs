//! Sums of equal-sized tensors.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::checks::{expect, grid_of_values};
use super::gpu::{self, Arg, Gpu};
use super::storage::{unwritten, update, view};

/// Elements per task.
const BLOCK: usize = 1 << 14;

/// a + b, of the same shape.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    same_shape(a, b)?;
    if let Some(gpu) = Gpu::of(a)? {
        let sum = gpu::unwritten(a.shape(), a.dtype(), a.device())?;
        launch_add(gpu, &sum, a, b)?;
        return Ok(sum);
    }
    let (x, y) = (view(a)?, view(b)?);
    let sum = unwritten(a.shape())?;
    update(&sum, |sum| {
        let blocks = sum.par_chunks_mut(BLOCK).zip(x.par_chunks(BLOCK)).zip(y.par_chunks(BLOCK));
        blocks.for_each(|((sum, x), y)| {
            sum.iter_mut().zip(x).zip(y).for_each(|((s, x), y)| *s = x + y);
        });
        Ok(())
    })?;
    Ok(sum)
}

/// a ← a + b, of the same shape.
pub fn add_into(a: &Tensor, b: &Tensor) -> Result<()> {
    same_shape(a, b)?;
    if let Some(gpu) = Gpu::of(a)? {
        return launch_add(gpu, a, a, b);
    }
    let y = view(b)?;
    update(a, |a| {
        a.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).for_each(|(a, y)| {
            a.iter_mut().zip(y).for_each(|(a, y)| *a += y);
        });
        Ok(())
    })
}

fn same_shape(a: &Tensor, b: &Tensor) -> Result<()> {
    if a.dims() != b.dims() || !a.is_contiguous() || !b.is_contiguous() {
        bail!("a sum of {:?} and {:?}", a.layout(), b.layout())
    }
    Ok(())
}

fn launch_add(gpu: Gpu, sum: &Tensor, a: &Tensor, b: &Tensor) -> Result<()> {
    expect(a.dtype(), &[b])?;
    let arguments = [sum.into(), a.into(), b.into(), Arg::U64(a.elem_count() as u64)];
    gpu.launch(&format!("add_{}", gpu::suffix(a)?), grid_of_values(a), &arguments)
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::*;
    use candle_core::Device;

    #[test]
    fn sums_in_place_and_not() {
        let ramp = |start: f32| Tensor::arange(start, start + 40_000.0, &Device::Cpu).unwrap();
        let (a, b) = (ramp(0.0), ramp(5.0));
        let want = (&a + &b).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(add(&a, &b).unwrap().to_vec1::<f32>().unwrap(), want);
        add_into(&a, &b).unwrap();
        assert_eq!(a.to_vec1::<f32>().unwrap(), want);
        assert!(add(&a, &b.narrow(0, 0, 3).unwrap()).unwrap_err().to_string().contains("a sum of"));
    }

    #[test]
    fn kernels_agree() {
        trial::each(|trial| {
            for (rows, columns) in [(1, 1), (3, 37), (9, 700)] {
                let (a, b) = (trial.random(rows, columns), trial.random(rows, columns));
                let want = trial.cpu(|| add(&a.cpu, &b.cpu)).unwrap();
                trial.close(&add(&a.gpu, &b.gpu).unwrap(), &want);
                add_into(&a.gpu, &b.gpu).unwrap();
                trial.close(&a.gpu, &want);
            }
            let (a, b) = (trial.random(3, 40), trial.random(3, 40));
            let from = |t: &Tensor, row| t.narrow(0, row, 2).unwrap().flatten_all().unwrap();
            let odd = |t: &Tensor| t.flatten_all().unwrap().narrow(0, 1, 80).unwrap();
            let want = trial.cpu(|| add(&odd(&a.cpu), &from(&b.cpu, 1))).unwrap();
            trial.close(&add(&odd(&a.gpu), &from(&b.gpu, 1)).unwrap(), &want);
        });
    }
}
