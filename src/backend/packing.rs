//! Where each sequence lies in a packed stream of tokens, and which keys it attends to.

use std::ops::Range;

use super::attention::TableCache;
use super::segment::Segment;

/// The segments of a packed stream. Those of one group (a prompt and its completions) share keys;
/// those of different groups do not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packing {
    pub segments: Vec<Segment>,
    /// Ranges of `segments`, in order, covering all of them.
    pub groups: Vec<Range<usize>>,
    /// What attention kernels need of `segments`, made when first asked for.
    pub(super) tables: TableCache,
}

impl Packing {
    /// One sequence of `len` tokens.
    pub fn sequence(len: usize) -> Self {
        let segment = Segment { start: 0, len, skip: 0, own_key: 0, prefix_start: 0, prefix_len: 0 };
        Packing { segments: vec![segment], groups: std::iter::once(0..1).collect(), ..Packing::default() }
    }

    /// Rows of the stream.
    pub fn tokens(&self) -> usize {
        self.segments.iter().map(|s| s.len).sum()
    }

    /// Position of every row, `[tokens]`.
    pub fn positions(&self) -> Vec<u32> {
        let mut positions = vec![0u32; self.tokens()];
        for s in &self.segments {
            for i in 0..s.len {
                positions[s.start + i] = (s.prefix_len + s.skip + i) as u32;
            }
        }
        positions
    }

    /// The same keys with only the queries of `needed` rows (ascending), renumbered from 0.
    pub fn with_queries(&self, needed: &[u32]) -> Packing {
        let mut reduced = Packing::default();
        let mut next = 0;
        for group in &self.groups {
            let first = reduced.segments.len();
            for s in &self.segments[group.clone()] {
                let mut run: Option<Segment> = None;
                while next < needed.len() && (needed[next] as usize) < s.start + s.len {
                    let skip = s.skip + needed[next] as usize - s.start;
                    match &mut run {
                        Some(run) if run.skip + run.len == skip => run.len += 1,
                        _ => {
                            reduced.segments.extend(run);
                            run = Some(Segment { start: next, len: 1, skip, ..*s });
                        }
                    }
                    next += 1;
                }
                reduced.segments.extend(run);
            }
            reduced.groups.push(first..reduced.segments.len());
        }
        reduced
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_queries_keep_their_positions_and_keys() {
        let segment = |start, len, prefix_start, prefix_len| Segment {
            start,
            len,
            skip: 0,
            own_key: start,
            prefix_start,
            prefix_len,
        };
        let packing = Packing {
            segments: vec![segment(0, 4, 0, 0), segment(4, 3, 0, 4), segment(7, 5, 0, 0)],
            groups: vec![0..2, 2..3],
            ..Packing::default()
        };
        let needed = [3, 4, 5, 8, 10, 11];
        let reduced = packing.with_queries(&needed);
        let all = packing.positions();
        let want: Vec<u32> = needed.iter().map(|&row| all[row as usize]).collect();
        assert_eq!(reduced.positions(), want);
        assert_eq!(reduced.groups, [0..2, 2..4]);
        assert_eq!(reduced.segments[3], Segment { start: 4, len: 2, skip: 3, ..packing.segments[2] });
    }
}
