//! Where each sequence lies in a packed stream of tokens, and which keys it attends to.

use std::ops::Range;

/// A run of query tokens. Query `i` (0-based) has position `prefix_len + i`; it attends to the
/// whole prefix (positions `0..prefix_len`) and, causally, to its own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First query row.
    pub start: usize,
    /// Query rows.
    pub len: usize,
    /// Row of the first own key; equal to `start` except when keys live in a cache.
    pub own_key: usize,
    /// First prefix key row.
    pub prefix_start: usize,
    pub prefix_len: usize,
}

/// The segments of a packed stream. Those of one group (a prompt and its branches) share keys;
/// those of different groups do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packing {
    pub segments: Vec<Segment>,
    /// Ranges of `segments`, in order, covering all of them.
    pub groups: Vec<Range<usize>>,
}

impl Packing {
    /// Rows of the stream.
    pub fn tokens(&self) -> usize {
        self.segments.iter().map(|s| s.len).sum()
    }

    /// Position of every row, `[tokens]`.
    pub fn positions(&self) -> Vec<u32> {
        let mut positions = vec![0u32; self.tokens()];
        for s in &self.segments {
            for i in 0..s.len {
                positions[s.start + i] = (s.prefix_len + i) as u32;
            }
        }
        positions
    }
}
