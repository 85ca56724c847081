//! The products of one tile, each over the tile's two ranges of keys.

use super::super::Segment;
use super::super::matmul::{Mat, gemm_on_thread};
use super::super::storage::Shared;
use super::Tile;

/// A buffer of rows and one head in it.
#[derive(Clone, Copy)]
pub(super) struct HeadRows<'a> {
    pub values: &'a [f32],
    /// Elements from one row to the next.
    pub stride: usize,
    /// First column of the head.
    pub column: usize,
    pub head_dim: usize,
}

impl HeadRows<'_> {
    pub fn mat(&self, start: usize, rows: usize) -> Mat {
        Mat::rows(start * self.stride + self.column, rows, self.head_dim, self.stride)
    }

    pub fn row(&self, row: usize) -> &[f32] {
        &self.values[row * self.stride + self.column..][..self.head_dim]
    }
}

/// `(key row, key count, first column)` of the tile's two ranges; empty ones are left out.
pub(super) fn ranges(tile: &Tile, segment: &Segment) -> impl Iterator<Item = (usize, usize, usize)> {
    let prefix = (segment.prefix_start + tile.prefix_first, tile.prefix, 0);
    let own = (segment.own_key + tile.own_first, tile.own, tile.prefix);
    [prefix, own].into_iter().filter(|&(_, keys, _)| keys > 0)
}

/// scores `[tile, keys]` ← scale · rows × keysᵀ; `rows` starts at the tile's first query.
pub(super) fn scores(
    out: &mut [f32],
    tile: &Tile,
    segment: &Segment,
    rows: (&[f32], Mat),
    keys: HeadRows<'_>,
    scale: f32,
) {
    let shared = Shared::new(out);
    for (row, n, column) in ranges(tile, segment) {
        let d = Mat::rows(column, tile.len, n, tile.keys());
        // SAFETY: `out` is this task's own and holds [tile, keys]
        unsafe { gemm_on_thread((shared, d), rows, (keys.values, keys.mat(row, n).t()), scale, false) }
    }
}

/// dst `[tile, head_dim]` ← scale · scores × values.
///
/// # Safety
/// `dst` holds `d`, and no other thread touches those elements meanwhile.
pub(super) unsafe fn weighted_sum(
    (dst, d): (Shared, Mat),
    tile: &Tile,
    segment: &Segment,
    scores: &[f32],
    values: HeadRows<'_>,
    scale: f32,
) {
    let mut accumulate = false;
    for (row, n, column) in ranges(tile, segment) {
        let s = Mat::rows(column, tile.len, n, tile.keys());
        // SAFETY: the caller's promise
        unsafe {
            gemm_on_thread((dst, d), (scores, s), (values.values, values.mat(row, n)), scale, accumulate)
        }
        accumulate = true;
    }
}

/// dst rows of the tile's keys += scale · scoresᵀ × rows.
///
/// # Safety
/// `dst` (rows of `stride` elements, the head from `column` on) holds all keys of the tile, and no
/// other thread touches this head of them meanwhile.
pub(super) unsafe fn scatter_keys(
    (dst, stride, column): (Shared, usize, usize),
    tile: &Tile,
    segment: &Segment,
    scores: &[f32],
    rows: (&[f32], Mat),
    scale: f32,
) {
    for (row, n, first) in ranges(tile, segment) {
        let s = Mat::rows(first, tile.len, n, tile.keys()).t();
        let d = Mat::rows(row * stride + column, n, rows.1.cols, stride);
        // SAFETY: the caller's promise
        unsafe { gemm_on_thread((dst, d), (scores, s), rows, scale, true) }
    }
}
