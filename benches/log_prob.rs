//! The log-probability operator alone: `cargo bench --bench log_prob [--features cuda]`.
//!
//! M hidden rows of width H against a frozen head of V tokens, with the direction that backward scales: two
//! matrix products, 4·M·H·V operations, whose floor is the rate of a large product measured just before. On
//! a GPU the shapes are those of an 8B and a 0.5B model, in bf16, and memory above the inputs is shown;
//! without one, a small shape in float32 on the CPU.

use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use runner::backend::gpu::open::open;
use runner::backend::log_prob::log_probs;
use runner::backend::matmul::matmul;
use runner::backend::memory::{on_device, reset_device_peak};

/// Runs before those that are timed, and the timed ones.
const WARMUP: usize = 2;
const TIMED: usize = 5;

/// Rows, width, vocabulary.
type Shape = (usize, usize, usize);

const GPU_SHAPES: [Shape; 2] = [(4096, 4096, 128_256), (8192, 896, 151_936)];
const CPU_SHAPES: [Shape; 1] = [(512, 512, 32_000)];

fn main() -> Result<()> {
    let (device, dtype, side, shapes) = match open(0) {
        Ok(device) => (device, DType::BF16, 8192, &GPU_SHAPES[..]),
        Err(reason) => {
            println!("on the CPU: {reason:#}");
            (Device::Cpu, DType::F32, 2048, &CPU_SHAPES[..])
        }
    };
    let square = random(side, side, dtype, &device)?;
    let seconds = best(&device, || matmul(&square, &square).map(drop))?;
    let peak = 2.0 * (side as f64).powi(3) / seconds;
    drop(square);
    println!("matrix peak, {dtype:?} [{side}, {side}]²: {:.0} GFLOP/s", peak / 1e9);
    for &shape in shapes {
        bench(shape, dtype, &device, peak)?;
    }
    Ok(())
}

fn bench((rows, width, vocabulary): Shape, dtype: DType, device: &Device, peak: f64) -> Result<()> {
    let hidden = random(rows, width, dtype, device)?;
    let head = random(vocabulary, width, dtype, device)?;
    let targets: Vec<u32> = (0..rows).map(|row| (row * 7919 % vocabulary) as u32).collect();
    device.synchronize()?;
    let before = on_device(device)?.map(|memory| memory.used);
    reset_device_peak(device)?;
    let seconds = best(device, || log_probs(&hidden, &head, &targets, true).map(drop))?;
    let floor = 4.0 * rows as f64 * width as f64 * vocabulary as f64 / peak;
    let share = 100.0 * floor / seconds;
    let (took, least) = (1e3 * seconds, 1e3 * floor);
    println!(
        "(M, H, V) = ({rows}, {width}, {vocabulary}): {took:.2} ms; floor {least:.2} ms, {share:.0} % of the peak"
    );
    if let (Some(before), Some(memory)) = (before, on_device(device)?) {
        println!("  memory above the inputs: {} MB", (memory.peak - before) / 1_000_000);
    }
    Ok(())
}

/// The shortest time of a few runs, seconds.
fn best(device: &Device, run: impl Fn() -> candle_core::Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    for round in 0..WARMUP + TIMED {
        device.synchronize()?;
        let started = Instant::now();
        run()?;
        device.synchronize()?;
        if round >= WARMUP {
            best = best.min(started.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

/// Normal values, as wide as a model's.
fn random(rows: usize, columns: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let values = Tensor::randn(0f32, 0.05f32, (rows, columns), &Device::Cpu)?;
    Ok(values.to_dtype(dtype)?.to_device(device)?)
}
