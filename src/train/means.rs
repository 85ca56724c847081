//! Metrics as TRL logs them: a mean over the rows or tokens of each micro-batch, then the mean of
//! those over the micro-batches of a step.

use indexmap::IndexMap;

use super::Metrics;

/// Sums and weights by metric and micro-batch.
#[derive(Debug, Default)]
pub struct Means {
    sums: IndexMap<&'static str, IndexMap<usize, (f64, f64)>>,
}

impl Means {
    /// Adds `sum` over something that counts `weight` (rows, tokens) to a micro-batch.
    pub fn add(&mut self, name: &'static str, micro_batch: usize, sum: f64, weight: f64) {
        let entry = self.sums.entry(name).or_default().entry(micro_batch).or_default();
        entry.0 += sum;
        entry.1 += weight;
    }

    /// The mean over micro-batches of each one's mean; those without weight do not count.
    pub fn finish(self) -> Metrics {
        let mean = |groups: IndexMap<usize, (f64, f64)>| {
            let means: Vec<f64> = groups.values().filter(|(_, w)| *w > 0.0).map(|(s, w)| s / w).collect();
            means.iter().sum::<f64>() / means.len().max(1) as f64
        };
        self.sums.into_iter().map(|(name, groups)| (name.to_string(), mean(groups))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_micro_batch_weighs_as_much_as_a_long_one() {
        let mut means = Means::default();
        means.add("entropy", 0, 6.0, 3.0);
        means.add("entropy", 0, 4.0, 2.0);
        means.add("entropy", 1, 8.0, 1.0);
        assert_eq!(means.finish()["entropy"], 5.0);
    }
}
