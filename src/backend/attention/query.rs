//! A tile of one query, as generation has them: products too small for `gemm`'s packing.

use pulp::{Arch, Simd, WithSimd};

use super::super::Segment;
use super::super::simd::short_dot;
use super::Tile;
use super::softmax::softmax;
use super::tile::{HeadRows, ranges};

/// out `[head_dim]` ← attention of the tile's one query over all keys that the tile has; returns the
/// log-sum-exp. `scores` `[keys]` is working space.
pub(super) fn attend(
    (out, scores): (&mut [f32], &mut [f32]),
    (tile, segment): (&Tile, &Segment),
    query: &[f32],
    (keys, values): (HeadRows<'_>, HeadRows<'_>),
    scale: f32,
) -> f32 {
    Arch::new().dispatch(Attend { out, scores, tile, segment, query, keys, values, scale })
}

struct Attend<'a> {
    out: &'a mut [f32],
    scores: &'a mut [f32],
    tile: &'a Tile,
    segment: &'a Segment,
    query: &'a [f32],
    keys: HeadRows<'a>,
    values: HeadRows<'a>,
    scale: f32,
}

impl WithSimd for Attend<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let Attend { out, scores, tile, segment, query, keys, values, scale } = self;
        for (row, n, column) in ranges(tile, segment) {
            for (i, score) in scores[column..column + n].iter_mut().enumerate() {
                *score = scale * short_dot(simd, query, keys.row(row + i));
            }
        }
        let seen = scores.len();
        let lse = softmax(scores, 0..seen);
        out.fill(0.0);
        for (row, n, column) in ranges(tile, segment) {
            for (i, p) in scores[column..column + n].iter().enumerate() {
                out.iter_mut().zip(values.row(row + i)).for_each(|(out, v)| *out += p * v);
            }
        }
        lse
    }
}
