//! Attention forward.

use candle_core::{Result, Tensor, bail};
use rayon::prelude::*;

use super::super::gpu::Gpu;
use super::super::matmul::Mat;
use super::super::simd::wide;
use super::super::storage::Shared;
use super::super::{Packing, Segment};
use super::columns::HeadColumns;
use super::kernels::KernelSet;
use super::launch;
use super::query::attend;
use super::softmax::softmax;
use super::tile::{scores, weighted_sum};
use super::{Shape, TILE, Tile};

/// q `[tokens, heads · head_dim]`, k and v `[key rows, kv_heads · head_dim]` (columns of wider rows
/// are fine) → output `[tokens, heads · head_dim]` and the log-sum-exp of each query's scores
/// `[tokens, heads]`.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    packing: &Packing,
    shape: Shape,
) -> Result<(Tensor, Tensor)> {
    let (tokens, width) = q.dims2()?;
    if packing.tokens() != tokens || width != shape.heads * shape.head_dim {
        bail!("attention over {} packed tokens with queries [{tokens}, {width}]", packing.tokens())
    }
    if let Some(gpu) = Gpu::of(q)? {
        return launch::forward(gpu, KernelSet::of(shape, &[q, k, v])?, (q, k, v), packing, shape);
    }
    let mut out = vec![0f32; tokens * width];
    let mut lse = vec![0f32; tokens * shape.heads];
    let (q, k, v) = (HeadColumns::of(q)?, HeadColumns::of(k)?, HeadColumns::of(v)?);
    let (out_shared, lse_shared) = (Shared::new(&mut out), Shared::new(&mut lse));
    let tiles: Vec<(&Segment, usize)> =
        packing.segments.iter().flat_map(|s| (0..s.len).step_by(TILE).map(move |first| (s, first))).collect();
    tiles
        .par_iter()
        .flat_map(|&tile| (0..shape.kv_heads).into_par_iter().map(move |h| (tile, h)))
        .for_each_init(Vec::new, |buffer, ((segment, first), kv_head)| {
            let tile = Tile::of(segment, first, shape.window);
            let (keys, values) = (k.head(kv_head, shape.head_dim), v.head(kv_head, shape.head_dim));
            buffer.clear();
            buffer.resize(tile.len * tile.keys(), 0.0);
            for head in kv_head * shape.group()..(kv_head + 1) * shape.group() {
                let query = q.head(head, shape.head_dim);
                let start = (segment.start + first) * width + head * shape.head_dim;
                if tile.len == 1 {
                    let row = segment.start + first;
                    // SAFETY: one task a (row, head), both inside their buffers
                    unsafe {
                        let out = out_shared.slice(start, shape.head_dim);
                        *lse_shared.at(row * shape.heads + head) = attend(
                            (out, buffer),
                            (&tile, segment),
                            query.row(row),
                            (keys, values),
                            shape.scale(),
                        );
                    }
                    continue;
                }
                let rows = (query.values, query.mat(segment.start + first, tile.len));
                scores(buffer, &tile, segment, rows, keys, shape.scale());
                wide(
                    #[inline(always)]
                    || {
                        for i in 0..tile.len {
                            let row = &mut buffer[i * tile.keys()..][..tile.keys()];
                            let lse = softmax(row, tile.visible(segment, i, shape.window));
                            // SAFETY: one task a (row, head), both inside the buffer
                            unsafe { *lse_shared.at((segment.start + first + i) * shape.heads + head) = lse };
                        }
                    },
                );
                let d = Mat::rows(start, tile.len, shape.head_dim, width);
                // SAFETY: one task a (row, head), inside `out`
                unsafe { weighted_sum((out_shared, d), &tile, segment, buffer, values, 1.0) };
            }
        });
    Ok((
        Tensor::from_vec(out, (tokens, width), &candle_core::Device::Cpu)?,
        Tensor::from_vec(lse, (tokens, shape.heads), &candle_core::Device::Cpu)?,
    ))
}
