//! The tables that attention kernels walk: `kernels/attention.cuh` says what their entries hold. Tiles
//! with the most work come first, so that the last ones to finish are short.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::ops::Range;

use super::super::Segment;

/// Tiles of up to `tile` rows of the segments; `group` query heads of a key head are rows of a tile.
pub(super) fn row_tiles<'a>(
    segments: impl Iterator<Item = &'a Segment>,
    group: usize,
    tile: usize,
) -> Vec<[u32; 8]> {
    let mut found = Vec::new();
    for s in segments {
        let rows = s.len * group;
        for first in (0..rows).step_by(tile) {
            let here = tile.min(rows - first);
            let position = s.prefix_len + s.skip;
            let keys = position + (first + here - 1) / group + 1;
            let entry = [s.start, first, here, position, s.prefix_start, s.prefix_len, s.own_key, 0];
            found.push((keys, entry.map(|n| n as u32)));
        }
    }
    found.sort_by_key(|&(keys, _)| Reverse(keys));
    found.into_iter().map(|(_, entry)| entry).collect()
}

/// Rows of keys that lie next to each other and one after another in a segment.
struct KeyRun {
    rows: Range<usize>,
    /// Position of the first.
    position: usize,
}

fn runs(s: &Segment) -> [KeyRun; 2] {
    [
        KeyRun { rows: s.prefix_start..s.prefix_start + s.prefix_len, position: 0 },
        KeyRun { rows: s.own_key..s.own_key + s.skip + s.len, position: s.prefix_len },
    ]
}

/// Tiles of up to `tile` keys that cover rows `0..rows`, and those who see them: two tables.
pub(super) fn key_tiles(
    segments: &[Segment],
    rows: usize,
    tile: usize,
    window: Option<usize>,
) -> [Vec<[u32; 8]>; 2] {
    // tiles do not cross from one run to another, so that who sees a part of one mostly sees all of it
    let mut cuts = BTreeSet::from([0, rows]);
    cuts.extend(segments.iter().flat_map(runs).filter(|run| !run.rows.is_empty()).map(|run| run.rows.start));
    let cuts: Vec<usize> = cuts.into_iter().collect();
    let starts: Vec<usize> = cuts.windows(2).flat_map(|cut| (cut[0]..cut[1]).step_by(tile)).collect();
    let end = |index: usize| starts.get(index + 1).copied().unwrap_or(rows);

    let mut visits: Vec<Vec<[u32; 8]>> = vec![Vec::new(); starts.len()];
    for s in segments {
        let first_position = s.prefix_len + s.skip;
        for run in runs(s).into_iter().filter(|run| !run.rows.is_empty()) {
            let from = starts.partition_point(|&start| start <= run.rows.start).saturating_sub(1);
            for index in (from..starts.len()).take_while(|&index| starts[index] < run.rows.end) {
                let start = starts[index];
                let keys = run.rows.start.max(start)..run.rows.end.min(end(index));
                let position = |row: usize| run.position + row - run.rows.start;
                // queries from the first that sees the first key to the last that sees the last
                let first = position(keys.start).saturating_sub(first_position);
                let last = window.map_or(s.len, |w| {
                    (position(keys.end - 1) + w).saturating_sub(first_position).min(s.len)
                });
                if first >= last {
                    continue;
                }
                // modulo 2^32, should the run start within the tile
                let zero = (position(keys.start) as u32).wrapping_sub((keys.start - start) as u32);
                visits[index].push([
                    (s.start + first) as u32,
                    (last - first) as u32,
                    (first_position + first) as u32,
                    zero,
                    (keys.start - start) as u32,
                    (keys.end - start) as u32,
                    0,
                    0,
                ]);
            }
        }
    }
    let queries = |index: &usize| visits[*index].iter().map(|visit| visit[1]).sum::<u32>();
    let mut order: Vec<usize> = (0..starts.len()).collect();
    order.sort_by_key(|index| Reverse(queries(index)));
    let mut tables = [Vec::new(), Vec::new()];
    for index in order {
        let tile =
            [starts[index], end(index) - starts[index], tables[1].len(), visits[index].len(), 0, 0, 0, 0];
        tables[0].push(tile.map(|n| n as u32));
        tables[1].extend(&visits[index]);
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segments() -> Vec<Segment> {
        let segment = |start, len, skip, own_key, prefix_start, prefix_len| Segment {
            start,
            len,
            skip,
            own_key,
            prefix_start,
            prefix_len,
        };
        vec![
            segment(0, 9, 0, 0, 0, 0),
            segment(9, 5, 3, 10, 0, 9),
            segment(14, 1, 11, 10, 0, 9),
            segment(15, 30, 0, 25, 2, 6),
        ]
    }

    /// (query row, key row) of all that is seen, by the definition.
    fn seen(window: Option<usize>) -> Vec<(usize, usize)> {
        let mut pairs = Vec::new();
        for s in segments() {
            for i in 0..s.len {
                let position = s.prefix_len + s.skip + i;
                for key in 0..=position {
                    let own = key.checked_sub(s.prefix_len);
                    if window.is_none_or(|w| position < key + w) {
                        pairs.push((s.start + i, own.map_or(s.prefix_start + key, |own| s.own_key + own)));
                    }
                }
            }
        }
        pairs.sort_unstable();
        pairs
    }

    #[test]
    fn key_tiles_have_each_pair_once_and_each_key_row_once() {
        for window in [None, Some(1), Some(7)] {
            let [tiles, visits] = key_tiles(&segments(), 60, 8, window);
            let (mut pairs, mut rows) = (Vec::new(), Vec::new());
            for [row, keys, visit, count, ..] in tiles {
                rows.extend(row..row + keys);
                for &[query, queries, position, zero, begin, end, ..] in
                    &visits[visit as usize..(visit + count) as usize]
                {
                    for (i, c) in (0..queries).flat_map(|i| (begin..end).map(move |c| (i, c))) {
                        let (position, key) = (position + i, zero.wrapping_add(c));
                        if key <= position && window.is_none_or(|w| position - key < w as u32) {
                            pairs.push(((query + i) as usize, (row + c) as usize));
                        }
                    }
                }
            }
            pairs.sort_unstable();
            rows.sort_unstable();
            assert_eq!(pairs, seen(window));
            assert_eq!(rows, (0..60).collect::<Vec<u32>>());
        }
    }

    #[test]
    fn row_tiles_have_each_row_once() {
        let mut rows = Vec::new();
        for [query, first, here, ..] in row_tiles(segments().iter(), 3, 16) {
            rows.extend((first..first + here).map(|row| (query + row / 3, row % 3)));
        }
        rows.sort_unstable();
        assert_eq!(rows, (0..45).flat_map(|row| [(row, 0), (row, 1), (row, 2)]).collect::<Vec<_>>());
    }
}
