//! Dropout whose mask is a function of keys, so that it can be made again in backward and does not
//! depend on how rows are packed.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::checks::{expect, grid_of_rows};
use super::gpu::{self, Arg, Gpu};
use super::storage::view;
use crate::random::Stream;

/// x `[rows, width]` → x · mask / (1 − p); element j of row i is kept where the stream of
/// `row_keys[i]` says so. The same call on a gradient is its backward.
pub fn dropout(x: &Tensor, p: f64, stream: Stream, row_keys: &[u64]) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    if row_keys.len() != rows {
        bail!("{} row keys for {rows} rows", row_keys.len())
    }
    let scale = (1.0 / (1.0 - p)) as f32;
    if let Some(gpu) = Gpu::of(x)? {
        return launch(gpu, x, scale, below(p), stream, row_keys);
    }
    let values = view(x)?;
    let mut out = vec![0f32; rows * width];
    out.par_chunks_mut(width).zip(values.par_chunks(width)).zip(row_keys).for_each(|((out, x), &key)| {
        let stream = stream.key(key);
        for j in 0..width {
            out[j] = if stream.uniform(j as u64) < p { 0.0 } else { x[j] * scale };
        }
    });
    Tensor::from_vec(out, (rows, width), x.device())
}

/// How many of the 2⁵³ values of a uniform number are less than `p`.
fn below(p: f64) -> u64 {
    (p * (1u64 << 53) as f64).ceil() as u64
}

fn launch(gpu: Gpu, x: &Tensor, scale: f32, below: u64, stream: Stream, row_keys: &[u64]) -> Result<Tensor> {
    let (rows, width) = x.dims2()?;
    expect(x.dtype(), &[x])?;
    let out = gpu::unwritten((rows, width), x.dtype(), x.device())?;
    if rows == 0 {
        return Ok(out);
    }
    let keys: Vec<i64> = row_keys.iter().map(|key| key.cast_signed()).collect();
    let keys = Tensor::from_vec(keys, rows, x.device())?;
    let arguments = [
        (&out).into(),
        x.into(),
        (&keys).into(),
        Arg::U64(stream.state()),
        Arg::U64(below),
        scale.into(),
        rows.into(),
        width.into(),
    ];
    gpu.launch(&format!("dropout_{}", gpu::suffix(x)?), grid_of_rows(rows, width, x.dtype()), &arguments)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::*;
    use crate::random::Purpose;
    use candle_core::DType;

    #[test]
    fn thresholds_are_those_of_the_comparison() {
        let uniform = |bits: u64| bits as f64 / (1u64 << 53) as f64;
        for p in [0.1, 0.5, 0.05, 1e-17, 0.999] {
            let n = below(p);
            assert!(uniform(n) >= p && uniform(n - 1) < p, "{p}");
        }
        assert_eq!(below(0.0), 0);
    }

    #[test]
    fn kernels_keep_what_the_cpu_keeps() {
        let stream = Stream::new(3, Purpose::Dropout).name("layer");
        trial::each(|trial| {
            for (rows, width, p) in [(1, 1, 0.5), (5, 37, 0.3), (4, 2056, 0.1)] {
                let x = trial.random(rows, width);
                let keys: Vec<u64> = (0..rows as u64).map(|row| u64::MAX / 2 - 2 + row).collect();
                let want = trial.cpu(|| dropout(&x.cpu, p, stream, &keys)).unwrap();
                let got = dropout(&x.gpu, p, stream, &keys).unwrap();
                trial.close(&got, &want);
                let zeros = |t: &Tensor| -> Vec<bool> {
                    let values =
                        t.to_device(&candle_core::Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
                    values
                        .flatten_all()
                        .unwrap()
                        .to_vec1::<f32>()
                        .unwrap()
                        .iter()
                        .map(|x| *x == 0.0)
                        .collect()
                };
                assert_eq!(zeros(&got), zeros(&want));
            }
        });
    }
}
