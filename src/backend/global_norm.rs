//! √(Σ g²) over the gradients of all weights in training, and what it means for clipping. On a GPU the norm
//! stays there until somebody asks for it, so that the optimiser's step does not wait for the host.

use candle_core::{DType, Result, Tensor};
use rayon::prelude::*;

use super::gpu::{self, Grid};
use super::simd::{dot, wide};
use super::storage::view;
use super::trained_weights::TrainedWeights;

/// Elements of one partial sum; fixed, so that threads do not change the result.
const BLOCK: usize = 1 << 16;

pub enum GlobalNorm {
    Known(f64),
    /// `[1]`, float32, on a GPU.
    There(Tensor),
}

impl GlobalNorm {
    /// The norm; waits for the GPU if it is there.
    pub fn value(&self) -> Result<f64> {
        match self {
            GlobalNorm::Known(norm) => Ok(*norm),
            GlobalNorm::There(norm) => Ok(f64::from(norm.to_vec1::<f32>()?[0])),
        }
    }
}

pub fn global_norm(weights: &TrainedWeights) -> Result<GlobalNorm> {
    if let Some(table) = weights.table() {
        let pieces = table.pieces()?;
        let squares = gpu::unwritten(pieces, DType::F32, table.device())?;
        table.launch("grad_squares", Some(&squares), &[])?;
        let norm = gpu::unwritten(1, DType::F32, table.device())?;
        let threads = pieces.next_multiple_of(32).min(1024) as u32;
        let arguments = [(&norm).into(), (&squares).into(), pieces.into()];
        table.gpu.launch("root_of_sum", Grid::of(1, threads), &arguments)?;
        return Ok(GlobalNorm::There(norm));
    }
    let mut total = 0.0;
    for weight in weights.iter() {
        let grad = view(&weight.grad)?;
        let partial: Vec<f64> = grad
            .par_chunks(BLOCK)
            .map(|g| {
                f64::from(wide(
                    #[inline(always)]
                    || dot(g, g),
                ))
            })
            .collect();
        total += partial.iter().sum::<f64>();
    }
    Ok(GlobalNorm::Known(total.sqrt()))
}

/// What gradients are multiplied with so that their norm is at most `max_norm`; 0 turns it off.
pub(super) fn clip_factor(norm: f64, max_norm: f64) -> f64 {
    if max_norm > 0.0 { (max_norm / (norm + 1e-6)).min(1.0) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::super::trained_weights::TrainedWeight;
    use super::*;

    #[test]
    fn pieces_of_many_weights_add_up_where_kernels_run() {
        trial::each_of(DType::F32, |trial| {
            // the sum of pieces by one warp, by several, and with more pieces than threads
            for count in [3, 70, 1100] {
                let all = trial.random(count, 3);
                let weight = |row| {
                    let [weight, grad, m, v] = [(); 4].map(|()| all.gpu.narrow(0, row, 1).unwrap());
                    TrainedWeight { weight, copy: None, grad, m, v, decays: false }
                };
                let weights = TrainedWeights::new((0..count).map(weight).collect()).unwrap();
                let GlobalNorm::There(norm) = global_norm(&weights).unwrap() else {
                    panic!("the norm is where the gradients are")
                };
                let squares = all.cpu.to_dtype(DType::F64).unwrap().sqr().unwrap().sum_all().unwrap();
                trial.within(&norm, &squares.sqrt().unwrap().reshape(1).unwrap(), 1e-6);
            }
        });
    }
}
