//! Which rows are held out. Row `i` is held out if a hash of `i` and a fixed key falls below
//! `eval_fraction`: the choice depends on the row's index alone, so that every stage that reads a
//! data set, of whatever kind and whichever rows it can use, holds out the same rows.

use super::row::Row;
use crate::random::Stream;

/// Splits rows into (train, held out) and keeps their order. A fraction of 0 holds out nothing; otherwise at
/// least one row is held out, and at least one is left to train on where there are two or more.
pub fn split(rows: Vec<Row>, eval_fraction: f64) -> (Vec<Row>, Vec<Row>) {
    if eval_fraction <= 0.0 || rows.is_empty() {
        return (rows, Vec::new());
    }
    let shares: Vec<f64> = rows.iter().map(|row| share(row.origin.row)).collect();
    let lowest = shares.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = shares.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut shares = shares.into_iter();
    let held_out =
        |share: f64| (share < eval_fraction || share == lowest) && (share != highest || lowest == highest);
    let (kept, held): (Vec<Row>, Vec<Row>) =
        rows.into_iter().partition(|_| !shares.next().is_some_and(held_out));
    (kept, held)
}

/// A number from 0 to 1 for a row, the same for every seed.
fn share(row: usize) -> f64 {
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
