//! An epoch's rows in windows of `batch_size × gradient_accumulation_steps`, the last one maybe short: a
//! window is what an optimiser step trains on, or what an update of ppo answers. Which rows it has is a
//! function of seed and window alone, so a resumed run continues where it stopped.

use std::ops::Range;

use super::settings::BatchSettings;
use crate::random::{Purpose, Stream};

/// How many windows an epoch has, and of what size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    rows: usize,
    batch_size: usize,
    accumulation: usize,
}

impl Windows {
    /// Those of `rows` training rows.
    pub fn of(settings: &BatchSettings, rows: usize) -> Self {
        let BatchSettings { batch_size, gradient_accumulation_steps, .. } = *settings;
        Windows { rows, batch_size, accumulation: gradient_accumulation_steps }
    }

    fn size(&self) -> usize {
        self.batch_size.saturating_mul(self.accumulation)
    }

    /// A short last window is one too.
    pub fn per_epoch(&self) -> u64 {
        self.rows.div_ceil(self.size()) as u64
    }

    /// Rows of the first `windows`.
    pub fn rows_in(&self, windows: u64) -> u64 {
        let per_epoch = self.per_epoch().max(1);
        let (epochs, more) = (windows / per_epoch, windows % per_epoch);
        let more = more.saturating_mul(self.size() as u64);
        epochs.saturating_mul(self.rows as u64).saturating_add(more)
    }

    /// The least windows that hold `rows` rows.
    pub fn that_hold(&self, rows: u64) -> u64 {
        let (epochs, more) = (rows / self.rows.max(1) as u64, rows % self.rows.max(1) as u64);
        epochs.saturating_mul(self.per_epoch()) + more.div_ceil(self.size() as u64)
    }

    /// Places of the rows of window `index` of an epoch in the epoch's order.
    fn range(&self, index: usize) -> Range<usize> {
        let end = |windows: usize| windows.saturating_mul(self.size()).min(self.rows);
        end(index)..end(index + 1)
    }
}

/// Draws the rows of windows.
pub struct Sampler {
    windows: Windows,
    /// `None`: file order.
    shuffle: Option<Stream>,
    /// The epoch last asked for and its order.
    cached: Option<(u64, Vec<usize>)>,
}

impl Sampler {
    /// That of the stage `stage` with so many training rows.
    pub fn of(settings: &BatchSettings, seed: u64, stage: &str, rows: usize) -> Self {
        let stream = Stream::new(seed, Purpose::Shuffle).name(stage);
        let shuffle = settings.shuffle.then_some(stream);
        Sampler { windows: Windows::of(settings, rows), shuffle, cached: None }
    }

    pub fn windows(&self) -> Windows {
        self.windows
    }

    /// Row indices of each micro-batch of window `window` (from 0).
    pub fn micro_batches(&mut self, window: u64) -> Vec<Vec<usize>> {
        let per_epoch = self.windows.per_epoch().max(1);
        let rows = self.windows.range((window % per_epoch) as usize);
        let batch_size = self.windows.batch_size;
        let order = self.order(window / per_epoch);
        order[rows].chunks(batch_size).map(<[usize]>::to_vec).collect()
    }

    fn order(&mut self, epoch: u64) -> &[usize] {
        if self.cached.as_ref().is_none_or(|(cached, _)| *cached != epoch) {
            let rows = self.windows.rows;
            let order = match self.shuffle {
                Some(stream) => stream.key(epoch).permutation(rows),
                None => (0..rows).collect(),
            };
            self.cached = Some((epoch, order));
        }
        self.cached.as_ref().map_or(&[], |(_, order)| order)
    }

    /// Rows that the first `windows` windows hold at all, ascending.
    pub fn seen(&mut self, windows: u64) -> Vec<usize> {
        if windows >= self.windows.per_epoch() {
            return (0..self.windows.rows).collect();
        }
        let mut seen: Vec<usize> =
            (0..windows).flat_map(|window| self.micro_batches(window).concat()).collect();
        seen.sort_unstable();
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(rows: usize, batch_size: usize, accumulation: usize, shuffle: bool) -> Sampler {
        let windows = Windows { rows, batch_size, accumulation };
        let shuffle = shuffle.then(|| Stream::new(7, Purpose::Shuffle));
        Sampler { windows, shuffle, cached: None }
    }

    #[test]
    fn a_short_last_window_is_a_step_of_its_own() {
        let mut sampler = sampler(10, 2, 2, false);
        assert_eq!(sampler.windows().per_epoch(), 3);
        assert_eq!(sampler.micro_batches(1), [vec![4, 5], vec![6, 7]]);
        assert_eq!(sampler.micro_batches(2), [vec![8, 9]]);
        assert_eq!(sampler.micro_batches(3), [vec![0, 1], vec![2, 3]]);
        assert_eq!(sampler.seen(2), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(sampler.seen(9).len(), 10);
    }

    #[test]
    fn a_short_last_window_counts_its_own_rows() {
        let windows = Windows { rows: 11, batch_size: 2, accumulation: 2 };
        assert_eq!([1, 2, 3, 4, 6, 7].map(|n| windows.rows_in(n)), [4, 8, 11, 15, 22, 26]);
        assert_eq!([1, 8, 9, 11, 12, 40].map(|n| windows.that_hold(n)), [1, 2, 3, 3, 4, 11]);
    }

    #[test]
    fn numbers_past_64_bits_make_one_window() {
        let mut sampler = sampler(10, usize::MAX / 2, 4, false);
        assert_eq!(sampler.windows().per_epoch(), 1);
        assert_eq!(sampler.micro_batches(u64::MAX).concat().len(), 10);
        assert_eq!(sampler.windows().rows_in(u64::MAX), u64::MAX);
    }

    #[test]
    fn each_epoch_has_an_order_of_its_own_and_every_row_once() {
        let mut sampler = sampler(12, 3, 2, true);
        let epoch = |sampler: &mut Sampler, e: u64| {
            (0..2).flat_map(|s| sampler.micro_batches(2 * e + s).concat()).collect::<Vec<_>>()
        };
        let (first, second) = (epoch(&mut sampler, 0), epoch(&mut sampler, 1));
        assert_ne!(first, second);
        assert_eq!(first, epoch(&mut sampler, 0));
        let mut sorted = second;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..12).collect::<Vec<_>>());
    }

    #[test]
    fn batches_of_one_by_eight_and_eight_by_one_see_the_same_rows() {
        let rows = |b, a| sampler(50, b, a, true).micro_batches(3).concat();
        assert_eq!(rows(1, 8), rows(8, 1));
        assert_eq!(rows(2, 4), rows(8, 1));
    }
}
