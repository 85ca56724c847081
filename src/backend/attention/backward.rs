//! Attention backward: probabilities are made again from the scores and their log-sum-exp.
//! A task is one key head of one group, so key gradients are summed in a fixed order.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::super::gpu::Gpu;
use super::super::matmul::Mat;
use super::super::simd::{dot, exp, wide};
use super::super::storage::{Shared, view};
use super::super::{Packing, Segment};
use super::columns::HeadColumns;
use super::kernels::KernelSet;
use super::launch;
use super::saved::Saved;
use super::tile::{HeadRows, scatter_keys, scores, weighted_sum};
use super::{Shape, TILE, Tile};

/// The gradients with respect to `q` and `kv`, from that of the output, `[tokens, heads · head_dim]`.
pub fn attention_backward(
    saved: &Saved<'_>,
    d_out: &Tensor,
    packing: &Packing,
    shape: Shape,
) -> Result<(Tensor, Tensor)> {
    let (tokens, q_width) = saved.q.dims2()?;
    let (key_rows, kv_width) = saved.kv.dims2()?;
    let key_width = shape.kv_heads * shape.head_dim;
    if q_width != shape.heads * shape.head_dim || kv_width != 2 * key_width || packing.tokens() != tokens {
        bail!("attention over {} packed tokens with queries [{tokens}, {q_width}]", packing.tokens())
    }
    if let Some(gpu) = Gpu::of(saved.q)? {
        let kernels = KernelSet::of(shape, &[saved.q, saved.kv, saved.out, d_out])?;
        return launch::backward(gpu, kernels, saved, d_out, packing, shape);
    }
    let mut d_q = vec![0f32; tokens * q_width];
    let mut d_kv = vec![0f32; key_rows * kv_width];
    let (d_q_shared, d_kv_shared) = (Shared::new(&mut d_q), Shared::new(&mut d_kv));
    let (q, kv) = (HeadColumns::of(saved.q)?, HeadColumns::of(saved.kv)?);
    let (out, d_out_columns) = (HeadColumns::of(saved.out)?, HeadColumns::of(d_out)?);
    let lse = view(saved.lse)?;
    let tasks: Vec<(usize, usize)> =
        (0..packing.groups.len()).flat_map(|g| (0..shape.kv_heads).map(move |h| (g, h))).collect();
    tasks.par_iter().for_each_init(Buffers::default, |buffers, &(group, kv_head)| {
        let column = kv_head * shape.head_dim;
        let heads = HeadGradients {
            keys: kv.head_at(column, shape.head_dim),
            values: kv.head_at(key_width + column, shape.head_dim),
            d_keys: (d_kv_shared, kv_width, column),
            d_values: (d_kv_shared, kv_width, key_width + column),
        };
        for segment in &packing.segments[packing.groups[group].clone()] {
            for first in (0..segment.len).step_by(TILE) {
                let tile = Tile::of(segment, first, shape.window);
                for head in kv_head * shape.group()..(kv_head + 1) * shape.group() {
                    let query = Query {
                        rows: q.head(head, shape.head_dim),
                        out: out.head(head, shape.head_dim),
                        d_out: d_out_columns.head(head, shape.head_dim),
                        d_rows: (d_q_shared, q_width, head * shape.head_dim),
                        lse: &|row| lse[row * shape.heads + head],
                    };
                    // SAFETY: this task alone touches these heads of this group's rows
                    unsafe { tile_backward(buffers, &heads, &query, segment, &tile, shape) };
                }
            }
        }
    });
    let device = d_out.device();
    Ok((
        Tensor::from_vec(d_q, (tokens, q_width), device)?,
        Tensor::from_vec(d_kv, (key_rows, kv_width), device)?,
    ))
}

#[derive(Default)]
struct Buffers {
    probabilities: Vec<f32>,
    d_scores: Vec<f32>,
}

/// One key head, its gradients, and where they go: (buffer, row stride, first column).
struct HeadGradients<'a> {
    keys: HeadRows<'a>,
    values: HeadRows<'a>,
    d_keys: (Shared, usize, usize),
    d_values: (Shared, usize, usize),
}

/// One query head.
struct Query<'a> {
    rows: HeadRows<'a>,
    out: HeadRows<'a>,
    d_out: HeadRows<'a>,
    d_rows: (Shared, usize, usize),
    lse: &'a dyn Fn(usize) -> f32,
}

/// # Safety
/// No other thread touches these heads of the segment's rows or keys meanwhile.
unsafe fn tile_backward(
    buffers: &mut Buffers,
    heads: &HeadGradients<'_>,
    query: &Query<'_>,
    segment: &Segment,
    tile: &Tile,
    shape: Shape,
) {
    let (keys, start) = (tile.keys(), segment.start + tile.first);
    for buffer in [&mut buffers.probabilities, &mut buffers.d_scores] {
        buffer.clear();
        buffer.resize(tile.len * keys, 0.0);
    }
    let rows = (query.rows.values, query.rows.mat(start, tile.len));
    let d_out = (query.d_out.values, query.d_out.mat(start, tile.len));
    scores(&mut buffers.probabilities, tile, segment, rows, heads.keys, shape.scale());
    scores(&mut buffers.d_scores, tile, segment, d_out, heads.values, 1.0);
    wide(
        #[inline(always)]
        || {
            for i in 0..tile.len {
                let row = start + i;
                let lse = (query.lse)(row);
                let delta = dot(query.out.row(row), query.d_out.row(row));
                let visible = tile.visible(segment, i, shape.window);
                let p = &mut buffers.probabilities[i * keys..][..keys];
                let d = &mut buffers.d_scores[i * keys..][..keys];
                for row in [&mut *p, &mut *d] {
                    row[..visible.start].fill(0.0);
                    row[visible.end..].fill(0.0);
                }
                let (p, d) = (&mut p[visible.clone()], &mut d[visible]);
                for j in 0..p.len() {
                    p[j] = exp(p[j] - lse);
                    d[j] = p[j] * (d[j] - delta);
                }
            }
        },
    );
    let (d_rows, stride, column) = query.d_rows;
    let d_query = Mat::rows(start * stride + column, tile.len, shape.head_dim, stride);
    // SAFETY: the caller's promise
    unsafe {
        weighted_sum((d_rows, d_query), tile, segment, &buffers.d_scores, heads.keys, shape.scale());
        scatter_keys(heads.d_keys, tile, segment, &buffers.d_scores, rows, shape.scale());
        scatter_keys(heads.d_values, tile, segment, &buffers.probabilities, d_out, 1.0);
    }
}
