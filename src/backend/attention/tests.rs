//! Against dense masked attention on candle's tape.

use candle_core::{Device, Tensor, Var};

use super::super::tests::relative;
use super::*;
use crate::backend::Packing;

/// One group: a prompt and two completions; and a lone sequence longer than a tile.
fn packing() -> Packing {
    let segment = |start, len, prefix_start, prefix_len| Segment {
        start,
        len,
        skip: 0,
        own_key: start,
        prefix_start,
        prefix_len,
    };
    Packing {
        segments: vec![
            segment(0, 9, 0, 0),
            segment(9, 5, 0, 9),
            segment(14, 70, 0, 9),
            segment(84, 80, 0, 0),
        ],
        groups: vec![0..3, 3..4],
        ..Packing::default()
    }
}

/// 0 where a query may look, -1e9 elsewhere, `[tokens, tokens]`.
fn mask(packing: &Packing, window: Option<usize>) -> Tensor {
    let n = packing.tokens();
    let mut mask = vec![-1e9f32; n * n];
    for s in &packing.segments {
        for i in 0..s.len {
            let row = s.start + i;
            let position = s.prefix_len + i;
            let prefix = (0..s.prefix_len).map(|p| (p, s.prefix_start + p));
            let own = (0..=i).map(|j| (s.prefix_len + j, s.own_key + j));
            for (p, key) in prefix.chain(own) {
                if window.is_none_or(|w| position < p + w) {
                    mask[row * n + key] = 0.0;
                }
            }
        }
    }
    Tensor::from_vec(mask, (n, n), &Device::Cpu).unwrap()
}

fn dense(qkv: &Tensor, shape: Shape, mask: &Tensor) -> Tensor {
    let heads = (0..shape.heads).map(|h| {
        let part = |start: usize| qkv.narrow(1, start, shape.head_dim).unwrap();
        let kv = h / shape.group();
        let q = part(h * shape.head_dim);
        let k = part((shape.heads + kv) * shape.head_dim);
        let v = part((shape.heads + shape.kv_heads + kv) * shape.head_dim);
        let s = (q.matmul(&k.t().unwrap()).unwrap() * f64::from(shape.scale())).unwrap();
        let p = candle_nn::ops::softmax(&(s + mask).unwrap(), 1).unwrap();
        p.matmul(&v).unwrap()
    });
    Tensor::cat(&heads.collect::<Vec<_>>(), 1).unwrap()
}

#[test]
fn agrees_with_dense_attention_and_its_gradient() {
    let packing = packing();
    for (heads, kv_heads, head_dim, window) in
        [(4, 4, 8, None), (4, 2, 16, None), (4, 1, 6, Some(7)), (2, 2, 8, Some(1)), (4, 2, 8, Some(48))]
    {
        let shape = Shape { heads, kv_heads, head_dim, window };
        let n = packing.tokens();
        let width = (heads + 2 * kv_heads) * head_dim;
        let qkv = Var::randn(0f32, 1f32, (n, width), &Device::Cpu).unwrap();
        let want = dense(qkv.as_tensor(), shape, &mask(&packing, window));
        let rows = qkv.as_tensor().detach();
        let q = rows.narrow(1, 0, heads * head_dim).unwrap();
        let kv = rows.narrow(1, heads * head_dim, 2 * kv_heads * head_dim).unwrap();
        let k = kv.narrow(1, 0, kv_heads * head_dim).unwrap();
        let v = kv.narrow(1, kv_heads * head_dim, kv_heads * head_dim).unwrap();
        let (out, lse) = attention(&q, &k, &v, &packing, shape).unwrap();
        assert!(relative(&out, &want) < 1e-5, "{shape:?}");

        let d_out = Tensor::randn(0f32, 1f32, (n, heads * head_dim), &Device::Cpu).unwrap();
        let grads = (&want * &d_out).unwrap().sum_all().unwrap().backward().unwrap();
        let saved = Saved { q: &q, kv: &kv, out: &out, lse: &lse };
        let (d_q, d_kv) = attention_backward(&saved, &d_out, &packing, shape).unwrap();
        let got = Tensor::cat(&[d_q, d_kv], 1).unwrap();
        assert!(relative(&got, grads.get(&qkv).unwrap()) < 1e-5, "{shape:?}");

        let needed: Vec<u32> = (0..n as u32).filter(|row| row % 7 != 2 && !(20..30).contains(row)).collect();
        let pick = |t: &Tensor| crate::backend::embedding::gather(&t.contiguous().unwrap(), &needed).unwrap();
        let (some, _) = attention(&pick(&q), &k, &v, &packing.with_queries(&needed), shape).unwrap();
        assert!(relative(&some, &pick(&out)) < 1e-5, "{shape:?}");
    }
}
