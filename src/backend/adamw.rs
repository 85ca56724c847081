//! AdamW (1711.05101), decoupled decay, bias-corrected, as torch's: one pass over each weight, all weights
//! in one launch on a GPU.

use candle_core::Result;
use rayon::prelude::*;

use super::global_norm::{GlobalNorm, clip_factor};
use super::gpu::Arg;
use super::simd::wide;
use super::storage::update;
use super::trained_weights::{TrainedWeight, TrainedWeights};

const BLOCK: usize = 1 << 14;

/// The numbers of a step: with t steps done,
/// `m += keep1 (g − m)`, `v = beta2 v + keep2 g²`, `w = decay w − step_size m / (√v / root + epsilon)`.
#[derive(Debug, Clone, Copy)]
pub struct AdamWStep {
    /// 1 − β₁.
    pub keep1: f32,
    pub beta2: f32,
    /// 1 − β₂.
    pub keep2: f32,
    /// rate / (1 − β₁ᵗ).
    pub step_size: f32,
    /// √(1 − β₂ᵗ).
    pub root: f32,
    pub epsilon: f32,
    /// Of the weights that decay, 1 − rate · weight decay.
    pub decay: f32,
}

/// One step: gradients, scaled so that their norm is at most `max_norm` (0: any), are used and set to zero;
/// `norm` is theirs.
pub fn adamw(weights: &TrainedWeights, step: AdamWStep, norm: &GlobalNorm, max_norm: f64) -> Result<()> {
    if let (Some(table), GlobalNorm::There(norm)) = (weights.table(), norm) {
        let AdamWStep { keep1, beta2, keep2, step_size, root, epsilon, decay } = step;
        let numbers = [max_norm as f32, keep1, beta2, keep2, step_size, root, epsilon, decay];
        let mut arguments = vec![Arg::from(norm)];
        arguments.extend(numbers.map(Arg::F32));
        return table.launch("adamw", None, &arguments);
    }
    let scale = clip_factor(norm.value()?, max_norm) as f32;
    weights.iter().try_for_each(|weight| on_cpu(weight, step, scale))
}

fn on_cpu(weight: &TrainedWeight, step: AdamWStep, scale: f32) -> Result<()> {
    let AdamWStep { keep1, beta2, keep2, step_size, root, epsilon, .. } = step;
    let decay = if weight.decays { step.decay } else { 1.0 };
    update(&weight.weight, |value| {
        update(&weight.grad, |grad| {
            update(&weight.m, |m| {
                update(&weight.v, |v| {
                    let rows = value.par_chunks_mut(BLOCK).zip(grad.par_chunks_mut(BLOCK));
                    let moments = m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK));
                    rows.zip(moments).for_each(|((value, grad), (m, v))| {
                        wide(
                            #[inline(always)]
                            || {
                                for i in 0..value.len() {
                                    let g = grad[i] * scale;
                                    m[i] += keep1 * (g - m[i]);
                                    v[i] = beta2 * v[i] + keep2 * g * g;
                                    let denominator = v[i].sqrt() / root + epsilon;
                                    value[i] = value[i] * decay - step_size * m[i] / denominator;
                                    grad[i] = 0.0;
                                }
                            },
                        )
                    });
                    Ok(())
                })
            })
        })
    })?;
    weight.refresh_copy()
}

#[cfg(test)]
mod tests {
    use super::super::global_norm::global_norm;
    use super::super::gpu::trial::{self, Trial};
    use super::*;
    use candle_core::{DType, Tensor};

    /// As the model's, or as the CPU's twin of it: without copies.
    fn weights(of: &[[Tensor; 4]], copies: bool) -> TrainedWeights {
        let weight = |(index, [weight, grad, m, v]): (usize, &[Tensor; 4])| TrainedWeight {
            weight: weight.clone(),
            copy: copies.then(|| weight.to_dtype(DType::BF16).unwrap()),
            grad: grad.clone(),
            m: m.clone(),
            v: v.clone(),
            decays: index % 2 == 0,
        };
        TrainedWeights::new(of.iter().enumerate().map(weight).collect()).unwrap()
    }

    /// Tensors of weights that fill no piece, one and several, and one that lies at an odd address.
    fn drawn(trial: &Trial) -> (Vec<[Tensor; 4]>, Vec<[Tensor; 4]>) {
        let shapes = [(1, 1), (3, 7), (130, 257), (64, 256)];
        let both = shapes.map(|(rows, columns)| {
            let odd = rows == 3;
            let twins = [(); 4].map(|()| {
                let whole = trial.random(1, rows * columns + 1).cpu;
                let part =
                    |t: Tensor| t.narrow(1, usize::from(odd), rows * columns).unwrap().squeeze(0).unwrap();
                (part(trial.put(&whole)), part(whole))
            });
            let [w, g, m, v] = twins;
            // second moments are not negative
            let positive = |t: &Tensor| t.sqr().unwrap();
            let v = (positive(&v.0), positive(&v.1));
            ([w.0, g.0, m.0, v.0], [w.1, g.1, m.1, v.1])
        });
        both.into_iter().unzip()
    }

    #[test]
    fn steps_where_kernels_run_agree() {
        let step = AdamWStep {
            keep1: 0.1,
            beta2: 0.99,
            keep2: 0.01,
            step_size: 0.02,
            root: 0.3,
            epsilon: 1e-8,
            decay: 0.9,
        };
        for max_norm in [0.0, 1.0, 1e6] {
            trial::each(|trial| {
                let (gpu, cpu) = drawn(trial);
                let there = weights(&gpu, trial.dtype == DType::BF16);
                let here = trial.cpu(|| weights(&cpu, false));
                for round in 0..3 {
                    let norm = global_norm(&there).unwrap();
                    let exact = exact_norm(&there);
                    adamw(&there, step, &norm, max_norm).unwrap();
                    let norm = norm.value().unwrap();
                    assert!((norm - exact).abs() < 1e-6 * exact, "{norm}, not {exact}");
                    trial.cpu(|| adamw(&here, step, &GlobalNorm::Known(exact), max_norm)).unwrap();
                    for (got, want) in there.iter().zip(here.iter()) {
                        for (got, want) in [(&got.weight, &want.weight), (&got.m, &want.m), (&got.v, &want.v)]
                        {
                            trial.within(got, want, 1e-6);
                        }
                        let zeros = got.grad.to_vec1::<f32>().unwrap();
                        assert!(zeros.iter().all(|&g| g == 0.0));
                        if let Some(copy) = &got.copy {
                            trial.within(copy, &want.weight.to_dtype(DType::BF16).unwrap(), 1e-3);
                            let rounded = got.weight.to_dtype(DType::BF16).unwrap();
                            assert_eq!(values(copy), values(&rounded));
                        }
                        let (fresh, twin) = (trial.random(1, got.grad.elem_count()), &want.grad);
                        let fresh = (fresh.cpu * f64::from(round + 1)).unwrap().squeeze(0).unwrap();
                        got.grad.slice_set(&trial.put(&fresh), 0, 0).unwrap();
                        twin.slice_set(&fresh, 0, 0).unwrap();
                    }
                }
            });
        }
    }

    fn exact_norm(weights: &TrainedWeights) -> f64 {
        let squares = weights.iter().flat_map(|w| w.grad.to_vec1::<f32>().unwrap());
        squares.map(|g| f64::from(g).powi(2)).sum::<f64>().sqrt()
    }

    fn values(tensor: &Tensor) -> Vec<f32> {
        tensor.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
    }

    #[test]
    fn tensors_that_kernels_cannot_take_are_refused() {
        trial::each_of(DType::F32, |trial| {
            let (gpu, _) = drawn(trial);
            let [weight, grad, m, v] = gpu[0].clone();
            let refused = TrainedWeight { weight, copy: Some(grad.clone()), grad, m, v, decays: true };
            let error = TrainedWeights::new(vec![refused]).err().unwrap().to_string();
            assert!(error.contains("a weight in training is"), "{error}");
        });
    }
}
