//! Sums of equal-sized tensors.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::storage::{unwritten, update, view};

/// Elements a task.
const BLOCK: usize = 1 << 14;

/// a + b, of the same shape.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (x, y) = (view(a)?, view(b)?);
    if a.dims() != b.dims() {
        bail!("a sum of {:?} and {:?}", a.dims(), b.dims())
    }
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
    let y = view(b)?;
    if a.dims() != b.dims() {
        bail!("a sum of {:?} and {:?}", a.dims(), b.dims())
    }
    update(a, |a| {
        a.par_chunks_mut(BLOCK).zip(y.par_chunks(BLOCK)).for_each(|(a, y)| {
            a.iter_mut().zip(y).for_each(|(a, y)| *a += y);
        });
        Ok(())
    })
}

#[cfg(test)]
mod tests {
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
}
