//! Kernels against the CPU.

use candle_core::{DType, Tensor};

use super::super::gpu::trial::{self, Trial};
use super::*;

const EPS: f64 = 1e-5;

fn row(t: &Tensor) -> Tensor {
    t.squeeze(0).unwrap()
}

/// A float32 gradient on the CPU, and where kernels run.
fn gradients(trial: &Trial, width: usize) -> (Tensor, Tensor) {
    let start = row(&trial.random(1, width).cpu);
    (start.copy().unwrap(), trial.put(&start))
}

#[test]
fn rows_agree() {
    trial::each(|trial| {
        // one warp per row, one block per row, rows that no thread keeps, each by vectors and by values
        for (rows, width) in [(1, 1), (11, 37), (300, 64), (3, 703), (2, 2056), (2, 2501)] {
            let (a, b, dy) =
                (trial.random(rows, width), trial.random(rows, width), trial.random(rows, width));
            let weight = trial.random(1, width);
            let (w_cpu, w_gpu) = (row(&weight.cpu), row(&weight.gpu));
            let (want, want_inverse) = trial.cpu(|| rms_norm(&a.cpu, &w_cpu, EPS)).unwrap();
            let (y, inverse) = rms_norm(&a.gpu, &w_gpu, EPS).unwrap();
            trial.close(&y, &want);
            trial.within(&inverse, &want_inverse, 1e-5);
            let (_, want, want_inverse) = trial.cpu(|| add_rms_norm(&a.cpu, &b.cpu, &w_cpu, EPS)).unwrap();
            let (sum, y, inverse) = add_rms_norm(&a.gpu, &b.gpu, &w_gpu, EPS).unwrap();
            trial.close(&sum, &(&a.cpu + &b.cpu).unwrap());
            trial.close(&y, &want);
            trial.close(&inverse, &want_inverse);
            let (grad, grad_gpu) = gradients(trial, width);
            let (_, inverse) = trial.cpu(|| rms_norm(&a.cpu, &w_cpu, EPS)).unwrap();
            let on_gpu = trial.put(&inverse);
            rms_norm_backward(&b.gpu, &a.gpu, &w_gpu, &on_gpu, &dy.gpu, Some(&grad_gpu)).unwrap();
            trial.cpu(|| rms_norm_backward(&b.cpu, &a.cpu, &w_cpu, &inverse, &dy.cpu, Some(&grad))).unwrap();
            trial.close(&b.gpu, &b.cpu);
            trial.within(&grad_gpu, &grad, 1e-5);
        }
    });
}

#[test]
fn heads_agree() {
    trial::each(|trial| {
        for (rows, at) in [
            (3, Heads { start: 4, heads: 3, head_dim: 10 }),
            (70, Heads { start: 8, heads: 2, head_dim: 64 }),
            (2, Heads { start: 0, heads: 1, head_dim: 528 }),
        ] {
            let width = at.start + at.heads * at.head_dim + 8;
            let (x, dx, weight) =
                (trial.random(rows, width), trial.random(rows, width), trial.random(1, at.head_dim));
            let (w_cpu, w_gpu) = (row(&weight.cpu), row(&weight.gpu));
            let before = trial.twin(&x.cpu.copy().unwrap());
            let want = trial.cpu(|| rms_norm_heads(&x.cpu, at, &w_cpu, EPS)).unwrap();
            let inverse = rms_norm_heads(&x.gpu, at, &w_gpu, EPS).unwrap();
            trial.close(&x.gpu, &x.cpu);
            trial.within(&inverse, &want, 1e-5);
            assert_eq!(inverse.dtype(), DType::F32);
            let (grad, grad_gpu) = gradients(trial, at.head_dim);
            let on_gpu = trial.put(&want);
            rms_norm_heads_backward(&dx.gpu, &before.gpu, at, &w_gpu, &on_gpu, Some(&grad_gpu)).unwrap();
            trial
                .cpu(|| rms_norm_heads_backward(&dx.cpu, &before.cpu, at, &w_cpu, &want, Some(&grad)))
                .unwrap();
            trial.close(&dx.gpu, &dx.cpu);
            trial.within(&grad_gpu, &grad, 1e-5);
        }
    });
}
