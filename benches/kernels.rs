//! Products and attention alone: `cargo bench --bench kernels [--features cuda]`.
//!
//! What a training step consists of, at the widths of an 8B Llama in bf16 on a GPU (a small shape in float32 on
//! the CPU without one): the base's products, LoRA's thin ones (an edge of 8 or 16), whose floor is the memory's
//! bandwidth, and attention forward and backward over sequences of one length, causal, with operations counted as
//! papers count them (4 · L² / 2 · heads · head_dim a sequence forward, 2.5 times that backward).

use std::time::Instant;

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use runner::backend::attention::{Saved, Shape, attention, attention_backward};
use runner::backend::gpu::open::open;
use runner::backend::matmul::{matmul, matmul_into};
use runner::backend::{Packing, Segment};

/// Rounds, of which the fastest counts, and runs in each.
const ROUNDS: usize = 5;
const RUNS: usize = 10;

/// Sizes of what is timed.
struct Sizes {
    /// Rows of a packed stream.
    rows: &'static [usize],
    hidden: usize,
    intermediate: usize,
    /// Lengths of attention's sequences, and tokens in all of them together.
    lengths: &'static [usize],
    tokens: usize,
}

const GPU: Sizes = Sizes {
    rows: &[3328, 5415],
    hidden: 4096,
    intermediate: 14336,
    lengths: &[128, 512, 1024, 2048, 4096],
    tokens: 16384,
};
const CPU: Sizes = Sizes { rows: &[512], hidden: 512, intermediate: 1408, lengths: &[128], tokens: 512 };

fn main() -> Result<()> {
    let (device, dtype, sizes) = match open(0) {
        Ok(device) => (device, DType::BF16, GPU),
        Err(reason) => {
            println!("on the CPU: {reason:#}");
            (Device::Cpu, DType::F32, CPU)
        }
    };
    for &rows in sizes.rows {
        for (input, output) in [
            (sizes.hidden, sizes.hidden),
            (sizes.hidden, 2 * sizes.intermediate),
            (sizes.intermediate, sizes.hidden),
        ] {
            base_product(rows, input, output, dtype, &device)?;
        }
        for (width, rank) in [(sizes.hidden, 8), (sizes.hidden, 16), (sizes.intermediate, 8)] {
            thin_products(rows, width, rank, dtype, &device)?;
        }
    }
    for head_dim in [64, 128] {
        for &length in sizes.lengths {
            attention_at(length, sizes.tokens, head_dim, dtype, &device)?;
        }
    }
    Ok(())
}

fn base_product(rows: usize, input: usize, output: usize, dtype: DType, device: &Device) -> Result<()> {
    let x = random(rows, input, dtype, device)?;
    let weight = random(output, input, dtype, device)?;
    let y = random(rows, output, dtype, device)?;
    let operations = 2.0 * rows as f64 * input as f64 * output as f64;
    let forward = seconds(device, || matmul(&x, &weight.t()?).map(drop))?;
    let backward = seconds(device, || matmul(&y, &weight).map(drop))?;
    println!(
        "base [{rows}, {input}] x [{output}, {input}]t: forward {:.1} us, {:.0} GFLOP/s; backward {:.1} us, {:.0} GFLOP/s",
        1e6 * forward,
        operations / forward / 1e9,
        1e6 * backward,
        operations / backward / 1e9
    );
    Ok(())
}

/// LoRA's four shapes: x Aᵀ, y += low Bᵀ, and the gradients of B and A.
fn thin_products(rows: usize, width: usize, rank: usize, dtype: DType, device: &Device) -> Result<()> {
    let x = random(rows, width, dtype, device)?;
    let a = random(rank, width, dtype, device)?;
    let b = random(width, rank, dtype, device)?;
    let low = matmul(&x, &a.t()?)?;
    let y = random(rows, width, dtype, device)?;
    let element = dtype.size_in_bytes() as f64;
    let wide = element * rows as f64 * width as f64;
    let small = element * rank as f64 * (rows + width) as f64;
    let report = |what: &str, seconds: f64, bytes: f64| {
        println!(
            "thin [{rows}, {width}], rank {rank}: {what} {:.1} us, {:.0} GB/s",
            1e6 * seconds,
            bytes / seconds / 1e9
        );
    };
    report("x At", seconds(device, || matmul(&x, &a.t()?).map(drop))?, wide + small);
    let added = seconds(device, || matmul_into(&y, &low, &b.t()?, 1.0, true))?;
    report("y += low Bt", added, 2.0 * wide + small);
    report("d_low = dy B", seconds(device, || matmul(&y, &b).map(drop))?, wide + small);
    report("dB = dyt low", seconds(device, || matmul(&y.t()?, &low).map(drop))?, wide + small);
    report("dA = d_lowt x", seconds(device, || matmul(&low.t()?, &x).map(drop))?, wide + small);
    Ok(())
}

/// 32 query heads over 8 key heads.
fn attention_at(length: usize, tokens: usize, head_dim: usize, dtype: DType, device: &Device) -> Result<()> {
    let shape = Shape { heads: 32, kv_heads: 8, head_dim, window: None };
    let mut packing = Packing::default();
    for index in 0..tokens / length {
        let start = index * length;
        packing.segments.push(Segment {
            start,
            len: length,
            skip: 0,
            own_key: start,
            prefix_start: start,
            prefix_len: 0,
        });
        packing.groups.push(index..index + 1);
    }
    let q = random(tokens, shape.heads * head_dim, dtype, device)?;
    let kv = random(tokens, 2 * shape.kv_heads * head_dim, dtype, device)?;
    let d_out = random(tokens, shape.heads * head_dim, dtype, device)?;
    let width = shape.kv_heads * head_dim;
    let (k, v) = (kv.narrow(1, 0, width)?, kv.narrow(1, width, width)?);
    let (out, lse) = attention(&q, &k, &v, &packing, shape)?;
    let saved = Saved { q: &q, kv: &kv, out: &out, lse: &lse };
    let forward = seconds(device, || attention(&q, &k, &v, &packing, shape).map(drop))?;
    let backward = seconds(device, || attention_backward(&saved, &d_out, &packing, shape).map(drop))?;
    let operations = 2.0 * tokens as f64 * length as f64 * (shape.heads * head_dim) as f64;
    println!(
        "attention, head_dim {head_dim}, {length} tokens: forward {:.1} us, {:.0} GFLOP/s; backward {:.1} us, {:.0} GFLOP/s",
        1e6 * forward,
        operations / forward / 1e9,
        1e6 * backward,
        2.5 * operations / backward / 1e9
    );
    Ok(())
}

/// Seconds a run, of the fastest round of several.
fn seconds(device: &Device, run: impl Fn() -> candle_core::Result<()>) -> Result<f64> {
    let mut best = f64::INFINITY;
    run()?;
    for _ in 0..ROUNDS {
        device.synchronize()?;
        let started = Instant::now();
        for _ in 0..RUNS {
            run()?;
        }
        device.synchronize()?;
        best = best.min(started.elapsed().as_secs_f64() / RUNS as f64);
    }
    Ok(best)
}

/// Normal values, those of one block again and again.
fn random(rows: usize, columns: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    const BLOCK: usize = (1 << 20) - 3;
    let block = Tensor::randn(0f32, 1f32, BLOCK, &Device::Cpu)?.to_dtype(dtype)?.to_device(device)?;
    let all = Tensor::cat(&vec![&block; (rows * columns).div_ceil(BLOCK)], 0)?;
    Ok(all.narrow(0, 0, rows * columns)?.contiguous()?.reshape((rows, columns))?)
}
