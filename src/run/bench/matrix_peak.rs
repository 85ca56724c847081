//! The rate of large matrix products, with which the products of a stage are compared.

use std::time::Instant;

use anyhow::Result;
use candle_core::{Device, Tensor};

use crate::backend::Compute;
use crate::backend::matmul::matmul;

/// Side of the square matrices, and products that are timed together: on the CPU and on a GPU.
const CPU: (usize, u32) = (2048, 1);
const GPU: (usize, u32) = (8192, 8);
const ROUNDS: usize = 6;

/// The best rate of a few rounds in the float type of `compute`, GFLOP/s. The values are random: products of
/// plain ones take less power, and may run faster, than any that training needs.
pub fn matrix_peak(compute: &Compute) -> Result<f64> {
    let (side, products) = if matches!(compute.device, Device::Cpu) { CPU } else { GPU };
    let matrix = compute.put(&Tensor::randn(0f32, 1f32, (side, side), &Device::Cpu)?)?;
    let operations = 2.0 * (side as f64).powi(3) * f64::from(products);
    let mut best: f64 = 0.0;
    for _ in 0..ROUNDS {
        compute.device.synchronize()?;
        let started = Instant::now();
        for _ in 0..products {
            matmul(&matrix, &matrix)?;
        }
        compute.device.synchronize()?;
        best = best.max(operations / started.elapsed().as_secs_f64() / 1e9);
    }
    Ok(best)
}
