//! Which rows are held out. Row `i` is held out if a hash of `i` and a fixed key falls below
//! `eval_fraction`: the choice depends on the row's index alone, so that every stage that reads a
//! data set, of whatever kind and whichever rows it can use, holds out the same rows.

use super::row::Row;
use crate::random::Stream;

/// Splits rows into (train, held out) and keeps their order. A fraction of 0 holds out nothing; otherwise at
/// least one row is held out, and at least one is left to train on where there are two or more.
pub fn split(rows: Vec<Row>, eval_fraction: f64) -> (Vec<Row>, Vec<Row>) {
    let held_out = HeldOut::of(rows.iter().map(|row| row.origin.row), eval_fraction);
    rows.into_iter().partition(|row| !held_out.holds(row.origin.row))
}

/// Which of some rows are held out.
#[derive(Debug, Clone, Copy)]
pub struct HeldOut {
    eval_fraction: f64,
    /// The lowest and the highest share of a row.
    lowest: f64,
    highest: f64,
}

impl HeldOut {
    /// `rows`: the indices of all rows.
    pub fn of(rows: impl Iterator<Item = usize>, eval_fraction: f64) -> Self {
        let extremes = |(low, high): (f64, f64), share: f64| (low.min(share), high.max(share));
        let (lowest, highest) = rows.map(share).fold((f64::INFINITY, f64::NEG_INFINITY), extremes);
        Self { eval_fraction, lowest, highest }
    }

    /// Whether `row`, one of the rows, is held out.
    pub fn holds(&self, row: usize) -> bool {
        if self.eval_fraction <= 0.0 {
            return false;
        }
        let share = share(row);
        (share < self.eval_fraction || share == self.lowest)
            && (share != self.highest || self.lowest == self.highest)
    }
}

/// A number from 0 to 1 for a row, the same for every seed.
pub fn share(row: usize) -> f64 {
    Stream::FIXED.uniform(row as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::row::{RowOrigin, RowTurns};
    use crate::template::Message;

    fn rows(indices: impl Iterator<Item = usize>) -> Vec<Row> {
        indices
            .map(|row| Row {
                origin: RowOrigin { row, file: Default::default(), line: row + 1 },
                turns: RowTurns::Conversation(vec![Message::new("user", "hi")]),
                tools: None,
                chat_template_kwargs: None,
                margin: None,
                label: None,
                accepted_answers: Vec::new(),
            })
            .collect()
    }

    fn indices(rows: &[Row]) -> Vec<usize> {
        rows.iter().map(|row| row.origin.row).collect()
    }

    #[test]
    fn holds_out_the_same_rows_whichever_are_usable() {
        let (train, held) = split(rows(0..1000), 0.1);
        assert_eq!(train.len() + held.len(), 1000);
        assert_eq!(indices(&held)[..6], [2, 32, 33, 41, 42, 43]);
        assert_eq!(held.len(), 92);
        let (_, held_of_even) = split(rows((0..1000).filter(|row| row % 2 == 0)), 0.1);
        let even: Vec<usize> = indices(&held).into_iter().filter(|row| row % 2 == 0).collect();
        assert_eq!(indices(&held_of_even), even);
    }

    #[test]
    fn holds_out_at_least_one_and_leaves_at_least_one() {
        assert_eq!(split(rows(0..5), 0.0).1.len(), 0);
        assert_eq!(split(rows(0..5), 1e-9).1.len(), 1);
        assert_eq!(split(rows(0..5), 0.999_999).0.len(), 1);
        assert_eq!(split(rows(0..1), 0.5).1.len(), 1);
        assert_eq!(split(Vec::new(), 0.5).1.len(), 0);
    }
}
