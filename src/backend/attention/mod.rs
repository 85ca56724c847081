//! Scaled dot-product attention over packed segments: every query tile walks two ranges of keys,
//! its group's prefix and its own causal past. No buffer holds queries × queries.
//! Source: FlashAttention (2205.14135) for what backward keeps (log-sum-exp, not probabilities).
//!
//! On a CPU, `forward.rs`, `backward.rs` and what they use; on a GPU, `launch.rs` and `kernels/attention*.cu`.

mod backward;
mod columns;
mod forward;
mod kernels;
mod launch;
mod query;
mod saved;
mod softmax;
mod tables;
mod tile;
mod uploaded;

pub use backward::attention_backward;
pub use forward::attention;
pub use saved::Saved;
pub(super) use uploaded::TableCache;

use super::Segment;

/// Query rows a task handles at once.
const TILE: usize = 64;

/// Shape of the heads. Queries are `[rows, heads · head_dim]`, keys and values
/// `[rows, kv_heads · head_dim]`; consecutive query heads share a key head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_dim: usize,
    /// Keys a query sees at most, itself included; `None`: all before it.
    pub window: Option<usize>,
}

impl Shape {
    fn group(&self) -> usize {
        self.heads / self.kv_heads
    }

    fn scale(&self) -> f32 {
        (self.head_dim as f32).sqrt().recip()
    }
}

/// A tile of queries of one segment and the keys that any of them sees.
#[derive(Debug, Clone, Copy)]
struct Tile {
    /// First query within the segment, and how many.
    first: usize,
    len: usize,
    /// First prefix position seen, and how many prefix keys.
    prefix_first: usize,
    prefix: usize,
    /// First own key seen, and how many own keys.
    own_first: usize,
    own: usize,
}

impl Tile {
    fn of(segment: &Segment, first: usize, window: Option<usize>) -> Self {
        let len = TILE.min(segment.len - first);
        let own = segment.skip + first;
        // lowest position that the tile's first query sees
        let low = window.map_or(0, |w| (segment.prefix_len + own + 1).saturating_sub(w));
        let prefix_first = low.min(segment.prefix_len);
        let own_first = low.saturating_sub(segment.prefix_len);
        Tile {
            first,
            len,
            prefix_first,
            prefix: segment.prefix_len - prefix_first,
            own_first,
            own: own + len - own_first,
        }
    }

    fn keys(&self) -> usize {
        self.prefix + self.own
    }

    /// The keys (prefix ones first, then own) that query `i` of the tile sees: a contiguous range.
    fn visible(&self, segment: &Segment, i: usize, window: Option<usize>) -> std::ops::Range<usize> {
        let own = segment.skip + self.first + i;
        let low = window.map_or(0, |w| (segment.prefix_len + own + 1).saturating_sub(w));
        let start = if low <= segment.prefix_len {
            low.saturating_sub(self.prefix_first)
        } else {
            self.prefix + low - segment.prefix_len - self.own_first
        };
        start..self.prefix + own + 1 - self.own_first
    }
}

#[cfg(test)]
mod kernels_tests;
#[cfg(test)]
mod tests;
