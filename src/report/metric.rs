//! The table of metrics, put together: those of every kind of training, and each kind's own.

use std::sync::LazyLock;

use crate::kinds::{Kind, KindSettings};
use crate::train::metric::{HELD_OUT_PREFIX, Metric, OF_EVERY_KIND};

/// Metrics of a stage of the kind, in the order in which they are shown.
pub fn of_kind(kind: &KindSettings) -> impl Iterator<Item = Metric> + use<> {
    let (before, after) = OF_EVERY_KIND;
    before.iter().chain(kind.facts().metrics).chain(after).copied()
}

/// The metrics of all kinds. The table is looked up at every step, so it is made once.
pub fn all() -> &'static [Metric] {
    static ALL: LazyLock<Vec<Metric>> = LazyLock::new(|| {
        let mut all: Vec<Metric> = Vec::new();
        for metric in Kind::ALL.iter().flat_map(|kind| of_kind(&kind.defaults())) {
            if !all.contains(&metric) {
                all.push(metric);
            }
        }
        all
    });
    &ALL
}

/// The row of a metric, its name with the prefix of held-out rows or without.
pub fn find(name: &str) -> Option<Metric> {
    let name = name.strip_prefix(HELD_OUT_PREFIX).unwrap_or(name);
    all().iter().find(|metric| metric.name == name).copied()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_name_stands_for_one_metric() {
        let names: BTreeSet<&str> = all().iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), all().len());
    }
}
