//! A run of tokens in a packed stream, and the keys that it attends to.

/// A run of query tokens. Query `i` (0-based) is own token `skip + i`, at position
/// `prefix_len + skip + i`; it attends to the whole prefix (positions `0..prefix_len`) and to own
/// keys `0..=skip + i`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// First query row.
    pub start: usize,
    /// Query rows.
    pub len: usize,
    /// Own tokens before the first query, which are keys only.
    pub skip: usize,
    /// Row of the first own key.
    pub own_key: usize,
    /// First prefix key row.
    pub prefix_start: usize,
    pub prefix_len: usize,
}
