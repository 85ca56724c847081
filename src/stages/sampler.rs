//! Which rows each optimiser step trains on. A function of seed and step alone, so a resumed run
//! continues where it stopped.

use std::ops::Range;

use crate::random::{Purpose, Stream};
use crate::plan::settings::{StageSettings, TrainingSettings};

/// The order of rows over a stage.
pub struct Sampler {
    rows: usize,
    batch_size: usize,
    accumulation: usize,
    /// `None`: file order.
    shuffle: Option<Stream>,
    /// The epoch last asked for and its order.
    cached: Option<(u64, Vec<usize>)>,
}

impl Sampler {
    /// That of a stage with so many training rows.
    pub fn of(stage: &StageSettings, rows: usize) -> Self {
        let stream = Stream::new(stage.training.seed, Purpose::Shuffle).name(&stage.name);
        Self::new(rows, &stage.training, stream)
    }

    /// `stream`: the stage's own, for shuffling.
    fn new(rows: usize, settings: &TrainingSettings, stream: Stream) -> Self {
        Sampler {
            rows,
            batch_size: settings.batch_size,
            accumulation: settings.gradient_accumulation_steps,
            shuffle: settings.shuffle.then_some(stream),
            cached: None,
        }
    }

    /// Optimiser steps an epoch; a short last window is a step too.
    pub fn steps_per_epoch(&self) -> u64 {
        self.rows.div_ceil(self.batch_size).div_ceil(self.accumulation) as u64
    }

    /// Row indices of each micro-batch of optimiser step `step` (from 0).
    pub fn micro_batches(&mut self, step: u64) -> Vec<Vec<usize>> {
        let per_epoch = self.steps_per_epoch().max(1);
        let (epoch, window) = (step / per_epoch, (step % per_epoch) as usize);
        let rows = self.window(window);
        let batch_size = self.batch_size;
        let order = self.order(epoch);
        order[rows].chunks(batch_size).map(<[usize]>::to_vec).collect()
    }

    fn window(&self, index: usize) -> Range<usize> {
        let size = self.batch_size * self.accumulation;
        (index * size).min(self.rows)..((index + 1) * size).min(self.rows)
    }

    fn order(&mut self, epoch: u64) -> &[usize] {
        if self.cached.as_ref().is_none_or(|(cached, _)| *cached != epoch) {
            let order = match self.shuffle {
                Some(stream) => stream.key(epoch).permutation(self.rows),
                None => (0..self.rows).collect(),
            };
            self.cached = Some((epoch, order));
        }
        self.cached.as_ref().map_or(&[], |(_, order)| order)
    }

    /// Rows that `steps` optimiser steps see at all, ascending.
    pub fn seen(&mut self, steps: u64) -> Vec<usize> {
        if steps >= self.steps_per_epoch() {
            return (0..self.rows).collect();
        }
        let mut seen: Vec<usize> = (0..steps).flat_map(|step| self.micro_batches(step).concat()).collect();
        seen.sort_unstable();
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Purpose;

    fn sampler(rows: usize, batch_size: usize, accumulation: usize, shuffle: bool) -> Sampler {
        let shuffle = shuffle.then(|| Stream::new(7, Purpose::Shuffle));
        Sampler { rows, batch_size, accumulation, shuffle, cached: None }
    }

    #[test]
    fn a_short_last_window_is_a_step_of_its_own() {
        let mut sampler = sampler(10, 2, 2, false);
        assert_eq!(sampler.steps_per_epoch(), 3);
        assert_eq!(sampler.micro_batches(1), [vec![4, 5], vec![6, 7]]);
        assert_eq!(sampler.micro_batches(2), [vec![8, 9]]);
        assert_eq!(sampler.micro_batches(3), [vec![0, 1], vec![2, 3]]);
        assert_eq!(sampler.seen(2), [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(sampler.seen(9).len(), 10);
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
