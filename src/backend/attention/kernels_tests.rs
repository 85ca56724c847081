//! The kernels against the CPU, over packings with every kind of segment.

use candle_core::{DType, Device, Tensor};

use super::kernels::KernelSet;
use super::*;
use crate::backend::Packing;
use crate::backend::gpu::Gpu;
use crate::backend::gpu::trial::{self, Trial};
use crate::random::{Purpose, Stream};

/// Groups of a prompt and its completions: lengths of each, the prompt first.
fn examples(lengths: &[&[usize]]) -> Packing {
    let mut packing = Packing::default();
    for lengths in lengths {
        let prompt_start = packing.tokens();
        let first = packing.segments.len();
        for (completion, &len) in lengths.iter().enumerate() {
            let start = packing.tokens();
            let (prefix_start, prefix_len) =
                if completion == 0 { (0, 0) } else { (prompt_start, lengths[0]) };
            packing.segments.push(Segment { start, len, skip: 0, own_key: start, prefix_start, prefix_len });
        }
        packing.groups.push(first..packing.segments.len());
    }
    packing
}

/// A query each, its prompt and own keys anywhere in a cache: sequences of (own keys, prefix).
fn generation(sequences: &[(usize, (usize, usize))]) -> (Packing, usize) {
    let mut packing = Packing::default();
    // rows that nobody sees come first
    let mut own_key = 40;
    for (start, &(own, (prefix_start, prefix_len))) in sequences.iter().enumerate() {
        packing.segments.push(Segment { start, len: 1, skip: own - 1, own_key, prefix_start, prefix_len });
        own_key += own;
    }
    packing.groups.push(0..sequences.len());
    (packing, own_key + 5)
}

/// Compares forward, and backward if `d_out`, over `key_rows` rows of keys.
fn compare(trial: &Trial, packing: &Packing, key_rows: usize, shape: Shape, backward: bool) {
    let (q_width, kv_width) = (shape.heads * shape.head_dim, 2 * shape.kv_heads * shape.head_dim);
    // keys and values are columns of wider rows
    let (q, wide) = (trial.random(packing.tokens(), q_width), trial.random(key_rows, kv_width + 16));
    let cut = |t: &Tensor, start, len| t.narrow(1, 8 + start, len).unwrap();
    let half = kv_width / 2;
    let run = |q: &Tensor, wide: &Tensor| {
        attention(q, &cut(wide, 0, half), &cut(wide, half, half), packing, shape).unwrap()
    };
    let (out, lse) = trial.cpu(|| run(&q.cpu, &wide.cpu));
    let (got, got_lse) = run(&q.gpu, &wide.gpu);
    trial.close(&got, &out);
    trial.within(&got_lse, &lse, 1e-5);
    if !backward {
        return;
    }
    // from equal outputs on
    let (out, d_out) = (trial.twin(&out), trial.random(packing.tokens(), q_width));
    let lse = (lse.clone(), trial.put(&lse));
    let run = |q: &Tensor, wide: &Tensor, out: &Tensor, lse: &Tensor, d_out: &Tensor| {
        let kv = cut(wide, 0, kv_width);
        attention_backward(&Saved { q, kv: &kv, out, lse }, d_out, packing, shape).unwrap()
    };
    let (d_q, d_kv) = trial.cpu(|| run(&q.cpu, &wide.cpu, &out.cpu, &lse.0, &d_out.cpu));
    let (got_q, got_kv) = run(&q.gpu, &wide.gpu, &out.gpu, &lse.1, &d_out.gpu);
    trial.close(&got_q, &d_q);
    trial.close(&got_kv, &d_kv);
}

fn shape(heads: usize, kv_heads: usize, head_dim: usize, window: Option<usize>) -> Shape {
    Shape { heads, kv_heads, head_dim, window }
}

#[test]
fn kernels_agree_on_examples() {
    trial::each(|trial| {
        let packing = examples(&[&[7, 1, 3, 18], &[37], &[1, 1]]);
        for shape in [
            shape(4, 1, 40, None),
            shape(3, 3, 80, Some(9)),
            shape(8, 1, 6, Some(20)),
            shape(2, 1, 64, Some(2)),
            shape(1, 1, 132, None),
        ] {
            compare(trial, &packing, packing.tokens(), shape, true);
        }
        let packing = examples(&[&[70, 1, 45], &[66]]);
        compare(trial, &packing, packing.tokens(), shape(2, 1, 64, None), true);
        compare(trial, &packing, packing.tokens(), shape(1, 1, 128, Some(66)), true);
        let packing = examples(&[&[21, 3, 14]]);
        compare(trial, &packing, packing.tokens(), shape(8, 1, 64, None), true);
    });
}

#[test]
fn kernels_agree_on_whatever_comes() {
    trial::each(|trial| {
        for draw in 0..7 {
            let stream = Stream::new(5, Purpose::Shuffle).key(draw);
            let below = |index: u64, n: usize| (stream.uniform(index) * n as f64) as usize;
            let lengths = |group: u64| -> Vec<usize> {
                (0..1 + below(group, 4) as u64).map(|i| 1 + below(100 + 10 * group + i, 25)).collect()
            };
            let lengths: Vec<Vec<usize>> = (0..1 + below(50, 2) as u64).map(lengths).collect();
            let packing = examples(&lengths.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let rows = packing.tokens();
            let needed: Vec<u32> =
                (0..rows as u32).filter(|&row| below(1000 + u64::from(row), 5) > 0).collect();
            let packing = if draw % 2 == 0 { packing } else { packing.with_queries(&needed) };
            let group = [1, 4, 8, 3][below(60, 4)];
            let kv_heads = 1 + below(61, 2) * usize::from(group < 4);
            let head_dim = [64, 128, 64, 80, 17][below(62, 5)];
            let window = (draw % 3 == 0).then(|| 2 + below(63, 30));
            compare(trial, &packing, rows, shape(group * kv_heads, kv_heads, head_dim, window), true);
        }
    });
}

#[test]
fn kernels_agree_on_queries_of_the_last_layer() {
    trial::each(|trial| {
        let packing = examples(&[&[50, 30, 41], &[6, 20]]);
        let needed: Vec<u32> = (49..80).chain([100, 120, 127, 128, 146]).collect();
        let some = packing.with_queries(&needed);
        compare(trial, &some, packing.tokens(), shape(4, 2, 64, None), true);
        compare(trial, &some, packing.tokens(), shape(2, 2, 24, Some(33)), true);
    });
}

/// Where a tile of keys ends just before, at and after what the first row of a tile sees.
#[test]
fn kernels_agree_at_the_edges_of_tiles() {
    trial::each_of(DType::BF16, |trial| {
        let packing = Packing::sequence(67);
        for (first, head_dim) in [30, 46, 47].map(|f| (f, 128)).into_iter().chain([62, 63].map(|f| (f, 64))) {
            let needed: Vec<u32> = (first..first + 3).collect();
            let shape = shape(4, 4, head_dim, Some(first as usize));
            compare(trial, &packing.with_queries(&needed), packing.tokens(), shape, true);
            compare(
                trial,
                &packing.with_queries(&needed),
                packing.tokens(),
                Shape { window: None, ..shape },
                true,
            );
        }
    });
}

#[test]
fn kernels_agree_on_generation() {
    trial::each(|trial| {
        let (packing, rows) = generation(&[(1, (0, 0)), (17, (3, 21)), (90, (0, 0)), (5, (3, 21))]);
        for shape in [
            shape(8, 1, 64, None),
            shape(4, 4, 128, None),
            shape(5, 1, 40, Some(23)),
            shape(2, 1, 256, None),
            shape(7, 1, 128, Some(1)),
        ] {
            compare(trial, &packing, rows, shape, false);
        }
        // some sequences are fed several tokens at once
        let mut packing = packing;
        packing.segments.push(Segment {
            start: 4,
            len: 13,
            skip: 9,
            own_key: 60,
            prefix_start: 0,
            prefix_len: 0,
        });
        compare(trial, &packing, rows, shape(4, 2, 64, None), false);
    });
}

#[test]
fn both_sets_of_kernels_agree() {
    trial::each_of(DType::BF16, |trial| {
        let packing = examples(&[&[66, 35, 1], &[64]]);
        let n = packing.tokens();
        for shape in [shape(2, 2, 64, None), shape(3, 1, 128, Some(49))] {
            let (q_width, half) = (shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim);
            let (q, d_out) = (trial.random(n, q_width).gpu, trial.random(n, q_width).gpu);
            let kv = trial.random(n, 2 * half).gpu;
            let (k, v) = (kv.narrow(1, 0, half).unwrap(), kv.narrow(1, half, half).unwrap());
            let gpu = Gpu::of(&q).unwrap().unwrap();
            let run = |kernels| {
                let (out, lse) = launch::forward(gpu, kernels, (&q, &k, &v), &packing, shape).unwrap();
                let saved = Saved { q: &q, kv: &kv, out: &out, lse: &lse };
                let (d_q, d_kv) = launch::backward(gpu, kernels, &saved, &d_out, &packing, shape).unwrap();
                [out, lse, d_q, d_kv]
            };
            let general = run(KernelSet::general(shape).unwrap());
            let tensor_cores = KernelSet::of(shape, &[&q, &kv, &d_out]).unwrap();
            assert_eq!(tensor_cores, KernelSet::TensorCores(shape.head_dim));
            for (got, want) in run(tensor_cores).iter().zip(&general) {
                trial.close(got, &want.to_device(&Device::Cpu).unwrap());
            }
        }
    });
}

#[test]
fn a_head_is_not_too_wide() {
    trial::each_of(DType::F32, |trial| {
        let x = trial.random(3, 260).gpu;
        let error = attention(&x, &x, &x, &Packing::sequence(3), shape(1, 1, 260, None)).unwrap_err();
        let wanted = "attention on a GPU has a head_dim of up to 256, not 260";
        assert!(error.to_string().starts_with(wanted), "{error}");
    });
}
