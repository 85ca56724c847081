//! Keys and values of every layer, row by row; runs of rows are lent and given back.

use std::ops::Range;

use anyhow::Result;
use candle_core::Tensor;

use crate::backend::Compute;
use crate::backend::storage::copy_into;

pub(super) struct Cache {
    /// A layer each, `[rows, width]`.
    layers: Vec<Tensor>,
    /// Elements of a row: keys, then values.
    width: usize,
    rows: usize,
    /// Runs that nobody holds: ascending, apart.
    free: Vec<Range<usize>>,
    compute: Compute,
}

impl Cache {
    pub fn new(layers: usize, width: usize, rows: usize, compute: &Compute) -> Result<Self> {
        // never of no rows: not every driver has memory of no bytes
        let rows = rows.max(1);
        let layers = (0..layers).map(|_| compute.zeros((rows, width))).collect::<Result<_>>()?;
        let mut cache = Cache { layers, width, rows, free: Vec::new(), compute: compute.clone() };
        cache.give(0..rows);
        Ok(cache)
    }

    /// `[rows, width]` of each layer.
    pub fn layers(&self) -> &[Tensor] {
        &self.layers
    }

    /// `len` rows next to each other; there are more of them if there were not enough.
    pub fn take(&mut self, len: usize) -> Result<Range<usize>> {
        if len == 0 {
            return Ok(0..0);
        }
        let fits = |run: &Range<usize>| run.len() >= len;
        let index = match self.free.iter().position(fits) {
            Some(index) => index,
            None => {
                self.grow(len.max(self.rows / 2))?;
                // the new rows come last
                self.free.len() - 1
            }
        };
        let start = self.free[index].start;
        self.free[index].start += len;
        if self.free[index].is_empty() {
            self.free.remove(index);
        }
        Ok(start..start + len)
    }

    /// Takes back a run that `take` lent.
    pub fn give(&mut self, rows: Range<usize>) {
        if rows.is_empty() {
            return;
        }
        let at = self.free.partition_point(|run| run.start < rows.start);
        self.free.insert(at, rows);
        let runs = std::mem::take(&mut self.free);
        for run in runs {
            match self.free.last_mut() {
                Some(last) if last.end == run.start => last.end = run.end,
                _ => self.free.push(run),
            }
        }
    }

    fn grow(&mut self, more: usize) -> Result<()> {
        let rows = self.rows + more;
        for layer in &mut self.layers {
            let larger = self.compute.zeros((rows, self.width))?;
            copy_into(&larger.narrow(0, 0, self.rows)?, layer)?;
            *layer = larger;
        }
        self.give(self.rows..rows);
        self.rows = rows;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn runs_are_lent_once_and_join_when_they_come_back() {
        let mut cache = Cache::new(2, 3, 10, &Compute::default()).unwrap();
        let (a, b, c) = (cache.take(4).unwrap(), cache.take(3).unwrap(), cache.take(3).unwrap());
        assert_eq!([a.clone(), b.clone(), c], [0..4, 4..7, 7..10]);
        cache.give(a);
        cache.give(b);
        assert_eq!(cache.free, vec![0..7]);
        assert_eq!(cache.take(7).unwrap(), 0..7);
        assert_eq!((cache.take(0).unwrap().len(), cache.rows), (0, 10));
    }

    #[test]
    fn a_cache_that_is_asked_for_nothing_has_memory_to_grow_from() {
        let mut cache = Cache::new(1, 2, 0, &Compute::default()).unwrap();
        assert_eq!(cache.layers()[0].dims(), [1, 2]);
        assert_eq!(cache.take(3).unwrap(), 0..3);
        assert_eq!((cache.layers()[0].dims(), cache.rows), (&[4, 2][..], 4));
    }

    #[test]
    fn a_larger_cache_keeps_its_rows() {
        let mut cache = Cache::new(1, 2, 3, &Compute::default()).unwrap();
        let held = cache.take(3).unwrap();
        let rows = Tensor::new(&[[1f32, 2.0], [3.0, 4.0], [5.0, 6.0]], &Device::Cpu).unwrap();
        copy_into(&cache.layers()[0], &rows).unwrap();
        assert_eq!(cache.take(2).unwrap(), 3..5);
        let now = cache.layers()[0].narrow(0, held.start, held.len()).unwrap();
        assert_eq!(now.to_vec2::<f32>().unwrap(), rows.to_vec2::<f32>().unwrap());
    }
}
