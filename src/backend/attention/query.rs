//! A tile of one query, as generation has them: products too small for `gemm`'s packing.

use super::super::Segment;
use super::super::lanes::{short_dot, wide};
use super::Tile;
use super::forward::softmax;
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
    wide(
        #[inline(always)]
        || {
            for (row, n, column) in ranges(tile, segment) {
                for (i, score) in scores[column..column + n].iter_mut().enumerate() {
                    *score = scale * short_dot(query, keys.row(row + i));
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
        },
    )
}
