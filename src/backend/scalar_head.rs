//! A linear map to one number, float32 with every float type of the rows: `s = w·h + b`, and its
//! backward.

use candle_core::{DType, Result, Tensor};

use super::gpu::Gpu;
use super::matmul::{matmul, matmul_into};
use super::simd::{dot, wide};
use super::storage::{update, view};

/// hidden `[rows, width]`, weight `[1, width]` and bias `[1]` in float32 → `[rows]`.
pub fn scores(hidden: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Vec<f64>> {
    // a device launches nothing over no rows
    if hidden.dim(0)? == 0 {
        return Ok(Vec::new());
    }
    if Gpu::of(hidden)?.is_some() {
        let products =
            matmul(&hidden.to_dtype(DType::F32)?, &weight.t()?)?.flatten_all()?.to_vec1::<f32>()?;
        let bias = bias.to_vec1::<f32>()?[0];
        return Ok(products.into_iter().map(|s| f64::from(s) + f64::from(bias)).collect());
    }
    let width = hidden.dim(1)?;
    let (rows, weight, bias) = (view(hidden)?, view(weight)?, view(bias)?);
    let score = |row: &[f32]| {
        f64::from(wide(
            #[inline(always)]
            || dot(row, &weight),
        )) + f64::from(bias[0])
    };
    Ok(rows.chunks_exact(width).map(score).collect())
}

/// Adds Σ d_score · h to `weight_grad` `[1, width]` and Σ d_score to `bias_grad` `[1]`, where they are asked for;
/// returns d_score · w, `[rows, width]` in the dtype of `hidden`. `d_scores` is ∂ loss / ∂ s, `[rows]`.
pub fn scores_backward(
    hidden: &Tensor,
    weight: &Tensor,
    d_scores: &[f64],
    weight_grad: Option<&Tensor>,
    bias_grad: Option<&Tensor>,
) -> Result<Tensor> {
    let (rows, width) = hidden.dims2()?;
    if rows == 0 {
        return Ok(hidden.clone());
    }
    let bias_sum = d_scores.iter().sum::<f64>() as f32;
    if Gpu::of(hidden)?.is_some() {
        let column: Vec<f32> = d_scores.iter().map(|&s| s as f32).collect();
        let column = Tensor::from_vec(column, (rows, 1), hidden.device())?;
        if let Some(grad) = weight_grad {
            matmul_into(grad, &column.t()?, &hidden.to_dtype(DType::F32)?, 1.0, true)?;
        }
        if let Some(grad) = bias_grad {
            super::residual::add_into(grad, &Tensor::from_slice(&[bias_sum], 1, hidden.device())?)?;
        }
        return matmul(&column, weight)?.to_dtype(hidden.dtype());
    }
    if let Some(grad) = weight_grad {
        let hidden = view(hidden)?;
        // summed in float64: d_scores of a pair nearly cancel
        let mut sums = vec![0f64; width];
        for (row, d_score) in hidden.chunks_exact(width).zip(d_scores) {
            sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += d_score * f64::from(*x));
        }
        update(grad, |grad| {
            grad.iter_mut().zip(&sums).for_each(|(g, sum)| *g += *sum as f32);
            Ok(())
        })?;
    }
    if let Some(grad) = bias_grad {
        update(grad, |grad| {
            grad[0] += bias_sum;
            Ok(())
        })?;
    }
    let weight = view(weight)?;
    let mut d_hidden = Vec::with_capacity(rows * width);
    for d_score in d_scores {
        d_hidden.extend(weight.iter().map(|w| (d_score * f64::from(*w)) as f32));
    }
    Tensor::from_vec(d_hidden, (rows, width), hidden.device())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::gpu::trial;
    use super::*;

    #[test]
    fn products_where_kernels_run_agree() {
        trial::each(|trial| {
            let (rows, width) = (5, 37);
            let hidden = trial.random(rows, width);
            let weight = Tensor::arange(0f32, width as f32, &Device::Cpu).unwrap();
            let weight = (weight * 0.03).unwrap().sin().unwrap().unsqueeze(0).unwrap();
            let bias = Tensor::new(&[0.25f32], &Device::Cpu).unwrap();
            let d_scores: Vec<f64> = (0..rows).map(|i| (i as f64 * 0.7).cos()).collect();
            let run = |hidden: &Tensor, device: &Device| {
                let here = |t: &Tensor| t.copy().unwrap().to_device(device).unwrap();
                let grads = [here(&weight), here(&bias)];
                let scores = scores(hidden, &here(&weight), &here(&bias)).unwrap();
                let dx = scores_backward(hidden, &here(&weight), &d_scores, Some(&grads[0]), Some(&grads[1]));
                let scores = scores.iter().map(|&s| s as f32).collect::<Vec<_>>();
                let [dw, db] = grads;
                [Tensor::from_vec(scores, rows, &Device::Cpu).unwrap(), dx.unwrap(), dw, db]
            };
            let want = trial.cpu(|| run(&hidden.cpu, &Device::Cpu));
            for (got, want) in run(&hidden.gpu, &trial.device).iter().zip(&want) {
                trial.close(got, want);
            }
        });
    }

    #[test]
    fn no_rows_have_no_scores_and_no_gradients() {
        trial::each(|trial| {
            let hidden = trial.twin(&Tensor::zeros((0, 37), DType::F32, &Device::Cpu).unwrap());
            let run = |hidden: &Tensor, device: &Device| {
                let weight = Tensor::ones((1, 37), DType::F32, device).unwrap();
                let bias = Tensor::ones(1, DType::F32, device).unwrap();
                let grads = [weight.copy().unwrap(), bias.copy().unwrap()];
                assert!(scores(hidden, &weight, &bias).unwrap().is_empty());
                let dx = scores_backward(hidden, &weight, &[], Some(&grads[0]), Some(&grads[1])).unwrap();
                assert_eq!((dx.dims(), dx.dtype()), (hidden.dims(), hidden.dtype()));
                for (grad, before) in grads.iter().zip([&weight, &bias]) {
                    let same = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    assert_eq!(same(grad), same(before));
                }
            };
            trial.cpu(|| run(&hidden.cpu, &Device::Cpu));
            run(&hidden.gpu, &trial.device);
        });
    }
}
