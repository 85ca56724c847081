//! Against a dense log-softmax on candle's tape; kernels against the CPU.

use candle_core::{Device, Tensor, Var};

use super::super::gpu::trial::{self, Trial, Twin};
use super::super::gpu::{self, Gpu};
use super::super::matmul::matmul;
use super::super::tests::relative;
use super::sweep::Sweep;
use super::*;

#[test]
fn statistics_and_gradients_agree_with_the_tape() {
    for (rows, width, vocabulary) in [(1, 8, 5), (300, 16, 37), (9, 24, 1003)] {
        let hidden = Var::randn(0f32, 1f32, (rows, width), &Device::Cpu).unwrap();
        let head = Var::randn(0f32, 0.5f32, (vocabulary, width), &Device::Cpu).unwrap();
        let targets: Vec<u32> = (0..rows).map(|i| (i * 7 % vocabulary) as u32).collect();
        let coefficients: Vec<f64> = (0..rows).map(|i| (0.5 + i as f64 * 0.37).sin()).collect();

        let logits = hidden.matmul(&head.t().unwrap()).unwrap();
        let log_softmax = candle_nn::ops::log_softmax(&logits, 1).unwrap();
        let index = Tensor::from_vec(targets.clone(), (rows, 1), &Device::Cpu).unwrap();
        let chosen = log_softmax.gather(&index, 1).unwrap().squeeze(1).unwrap();
        let c: Vec<f32> = coefficients.iter().map(|&c| c as f32).collect();
        let c = Tensor::from_vec(c, rows, &Device::Cpu).unwrap();
        let grads = (&chosen * &c).unwrap().sum_all().unwrap().backward().unwrap();

        let (h, w) = (hidden.as_tensor().detach(), head.as_tensor().detach());
        let (got, direction) = log_probs(&h, &w, &targets, true).unwrap();
        let rows_of = |t: &Tensor| t.to_vec2::<f32>().unwrap();
        let (log_softmax, logits) = (rows_of(&log_softmax), rows_of(&logits));
        for i in 0..rows {
            let (z, lp) = (&logits[i], &log_softmax[i]);
            let entropy: f64 = lp.iter().map(|&l| -f64::from(l) * f64::from(l).exp()).sum();
            let mean = z.iter().map(|&z| f64::from(z)).sum::<f64>() / vocabulary as f64;
            let best = (0..vocabulary).max_by(|&a, &b| z[a].total_cmp(&z[b])).unwrap();
            assert!((got.log_prob[i] - f64::from(lp[targets[i] as usize])).abs() < 2e-5);
            assert!((got.entropy[i] - entropy).abs() < 2e-5, "{} {entropy}", got.entropy[i]);
            assert!((got.mean_logit[i] - mean).abs() < 1e-5);
            let squares: f64 = lp.iter().map(|&l| (2.0 * f64::from(l)).exp()).sum();
            assert!((got.log_square_sum[i] - squares.ln()).abs() < 2e-5);
            assert_eq!(got.is_arg_max[i], best == targets[i] as usize);
        }
        let scaled = direction.unwrap().broadcast_mul(&c.unsqueeze(1).unwrap()).unwrap();
        assert!(relative(&scaled, grads.get(&hidden).unwrap()) < 1e-5);

        let head_grad = Tensor::zeros_like(&w).unwrap();
        let d_hidden = head_backward(&h, &w, &targets, &coefficients, &head_grad).unwrap();
        assert!(relative(&d_hidden, grads.get(&hidden).unwrap()) < 1e-5);
        assert!(relative(&head_grad, grads.get(&head).unwrap()) < 1e-5);
    }
}

#[test]
fn a_token_past_the_vocabulary_is_refused() {
    let hidden = Tensor::zeros((1, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let head = Tensor::zeros((3, 4), candle_core::DType::F32, &Device::Cpu).unwrap();
    let error = log_probs(&hidden, &head, &[3], false).unwrap_err().to_string();
    assert!(error.contains("token 3 is past the vocabulary of 3"), "{error}");
}

/// Hidden rows, a head, targets and coefficients of a trial.
fn drawn(trial: &Trial, rows: usize, width: usize, vocabulary: usize) -> (Twin, Twin, Vec<u32>, Vec<f64>) {
    let targets = (0..rows).map(|i| (i * 7 % vocabulary) as u32).collect();
    let coefficients = (0..rows).map(|i| (0.5 + i as f64 * 0.37).sin()).collect();
    (trial.random(rows, width), trial.random(vocabulary, width), targets, coefficients)
}

/// Numbers of each target but whether it is the arg-max, in one tensor each; the mean logit as what log p
/// is above it, as logits cancel in the mean and it has an error of their size.
fn numbers(found: &LogProbs) -> [Tensor; 4] {
    let mean = found.log_prob.iter().zip(&found.mean_logit).map(|(log_prob, mean)| log_prob - mean).collect();
    [&found.log_prob, &found.entropy, &mean, &found.log_square_sum].map(|column: &Vec<f64>| {
        let column: Vec<f32> = column.iter().map(|&x| x as f32).collect();
        let rows = column.len();
        Tensor::from_vec(column, rows, &Device::Cpu).unwrap()
    })
}

#[test]
fn kernels_agree() {
    trial::each(|trial| {
        // chunks: whole, several with a rest, several of one row
        for (rows, width, vocabulary, chunk) in
            [(1, 8, 5, 128), (300, 16, 37, 128), (9, 24, 1003, 1), (3, 8, 8197, 2)]
        {
            let (hidden, head, targets, coefficients) = drawn(trial, rows, width, vocabulary);
            let (want, want_direction) =
                trial.cpu(|| log_probs(&hidden.cpu, &head.cpu, &targets, true)).unwrap();
            let gpu = Gpu::of(&hidden.gpu).unwrap().unwrap();
            let sweep = Sweep { gpu, hidden: &hidden.gpu, head: &head.gpu, targets: &targets, chunk };
            let (got, direction) = frozen::by_kernels(&sweep, true).unwrap();
            for (got, want) in numbers(&got).iter().zip(&numbers(&want)) {
                trial.within(got, want, 1e-5);
            }
            assert_eq!(got.is_arg_max, want.is_arg_max);
            trial.close(&direction.unwrap(), &want_direction.unwrap());
            let (alone, none) = frozen::by_kernels(&sweep, false).unwrap();
            assert!(alone == got && none.is_none());

            let start = trial.twin(&Tensor::full(0.25f32, (vocabulary, width), &Device::Cpu).unwrap());
            let head_grad = trial.put(&start.cpu);
            let d_hidden = trained::by_kernels(&sweep, &coefficients, &head_grad).unwrap();
            let want = trial
                .cpu(|| head_backward(&hidden.cpu, &head.cpu, &targets, &coefficients, &start.cpu))
                .unwrap();
            trial.close(&d_hidden, &want);
            trial.close(&head_grad, &start.cpu);
        }
    });
}

/// The logits that kernels see, on the CPU: made as [`Sweep`] makes them.
fn logits(hidden: &Tensor, head: &Tensor) -> Tensor {
    let (rows, vocabulary) = (hidden.dim(0).unwrap(), head.dim(0).unwrap());
    let stride = vocabulary.next_multiple_of(8);
    let logits = gpu::unwritten((rows, stride), DType::F32, hidden.device()).unwrap();
    let logits = logits.narrow(1, 0, vocabulary).unwrap();
    let gpu = Gpu::of(hidden).unwrap().unwrap();
    gpu.matmul(&logits, hidden, &head.t().unwrap(), 1.0, false).unwrap();
    logits.to_device(&Device::Cpu).unwrap()
}

#[test]
fn logits_of_any_size_and_equal_logits_are_no_trouble() {
    trial::each(|trial| {
        for scale in [0.0, 40.0] {
            let (hidden, head, targets, _) = drawn(trial, 40, 16, 131);
            let hidden = trial.twin(&(hidden.cpu * scale).unwrap());
            let (got, _) = log_probs(&hidden.gpu, &head.gpu, &targets, false).unwrap();
            // Logits of ±400 differ in the fourth decimal if the product is summed in another order, and an
            // entropy below 1 with them: that is the product's, and what is made of the logits is exact.
            let logits = logits(&hidden.gpu, &head.gpu);
            let product = trial.cpu(|| matmul(&hidden.cpu, &head.cpu.t().unwrap())).unwrap();
            trial.within(&logits, &product, 1e-5);
            let mut rows = logits.to_vec2::<f32>().unwrap();
            let want = rows.iter_mut().zip(&targets).map(|(row, &target)| softmax_row(row, target as usize));
            let want = collect(&want.collect::<Vec<_>>());
            for (got, want) in numbers(&got).iter().zip(&numbers(&want)) {
                trial.within(got, want, 1e-5);
            }
            assert_eq!(got.is_arg_max, want.is_arg_max);
        }
    });
}

#[test]
fn no_targets_are_no_trouble() {
    trial::each(|trial| {
        let none = trial.twin(&Tensor::zeros((0, 16), DType::F32, &Device::Cpu).unwrap());
        let head = trial.random(131, 16);
        let (found, direction) = log_probs(&none.gpu, &head.gpu, &[], true).unwrap();
        assert_eq!((found, direction.unwrap().dims()), (LogProbs::default(), [0, 16].as_slice()));
        let grad = trial.put(&Tensor::zeros((131, 16), DType::F32, &Device::Cpu).unwrap());
        let d_hidden = head_backward(&none.gpu, &head.gpu, &[], &[], &grad).unwrap();
        assert_eq!(d_hidden.dims(), [0, 16]);
    });
}

#[test]
fn a_chunk_fits_its_budget() {
    let rows = |vocabulary| [DType::F32, DType::BF16].map(|dtype| gpu_chunk_rows(vocabulary, dtype));
    assert_eq!(rows(128_256), [896, 512]);
    assert_eq!(rows(151_936), [768, 512]);
    assert_eq!(rows(1_000_000), [117, 78]);
    assert_eq!(rows(200_000_000), [1, 1]);
}
