//! KTO's mismatched completions (2402.01306, section 4.1): every row with another row's answer, from
//! which the KL between policy and reference is estimated. As in TRL, the answers of a micro-batch are
//! turned by one, before any shuffle: `(x₁, yₙ), (x₂, y₁), …, (xₙ, yₙ₋₁)`. Unpaired pairs, which stand
//! next to each other, are turned by two: an answer to the same prompt is not mismatched.

use super::example::{Branch, Family};
use super::tokens::Tokenized;

/// Gives every row as second branch the answer of the row before it within groups of `batch_size`
/// rows, the first of a group that of its last. Where that would be an answer to the same prompt, the
/// group is turned further; a group of one prompt takes the answers of the group before it. The answer
/// is taken whole and cut to `max_length` anew.
pub fn add_mismatched(rows: Vec<Tokenized>, batch_size: usize, max_length: usize) -> Vec<Family> {
    let answers: Vec<Option<Branch>> = rows.iter().map(answer).collect();
    let origins: Vec<usize> = rows.iter().map(|row| row.family.row).collect();
    let donors: Vec<usize> = donors(&origins, batch_size.max(1));
    let with = |(row, donor): (Tokenized, usize)| {
        let mut family = row.family;
        if let Some(mut mismatched) = answers[donor].clone() {
            mismatched.truncate(max_length.saturating_sub(family.prompt.len()));
            family.branches.push(mismatched);
        }
        family
    };
    rows.into_iter().zip(donors).map(with).collect()
}

/// For each row the index of the one whose answer it takes. `origins`: a row's number in its data set.
fn donors(origins: &[usize], batch_size: usize) -> Vec<usize> {
    let count = origins.len();
    let mut donors = Vec::with_capacity(count);
    for group in origins.chunks(batch_size) {
        let (start, size) = (donors.len(), group.len());
        let matched =
            |turn: &usize| (0..size).filter(|&i| group[i] == group[(i + size - turn) % size]).count();
        // Of equally good turns the first: by one, if all rows have prompts of their own.
        match (1..size).min_by_key(matched).filter(|turn| matched(turn) < size) {
            Some(turn) => donors.extend((0..size).map(|i| start + (i + size - turn) % size)),
            None => donors.extend((start..start + size).map(|row| (row + count - size) % count)),
        }
    }
    donors
}

/// A row's answer before it was cut.
fn answer(row: &Tokenized) -> Option<Branch> {
    row.uncut.as_ref().or(row.family.branches.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of one prompt token whose answers are `length` times their own number.
    fn rows(lengths: &[usize]) -> Vec<Tokenized> {
        let answer =
            |row: usize, length| Branch { tokens: vec![row as u32; length], trained: vec![true; length] };
        let row = |(row, &length): (usize, &usize)| {
            let whole = answer(row, length);
            let mut cut = whole.clone();
            cut.truncate(4);
            Tokenized {
                family: Family { row, prompt: vec![9], branches: vec![cut], label: Some(true), margin: None },
                cuts: Vec::new(),
                uncut: (length > 4).then_some(whole),
                notes: Default::default(),
            }
        };
        lengths.iter().enumerate().map(row).collect()
    }

    fn taken(rows: usize, batch_size: usize) -> Vec<u32> {
        let families = add_mismatched(self::rows(&vec![1; rows]), batch_size, 5);
        families.iter().map(|family| family.branches[1].tokens[0]).collect()
    }

    #[test]
    fn answers_turn_by_one_within_their_group() {
        assert_eq!(taken(6, 3), [2, 0, 1, 5, 3, 4]);
        assert_eq!(taken(5, 3), [2, 0, 1, 4, 3]);
        // The last group has one row: it takes the answer of the row before it.
        assert_eq!(taken(4, 3), [2, 0, 1, 2]);
        assert_eq!(taken(3, 1), [2, 0, 1]);
        assert_eq!(taken(1, 4), [0]);
        assert_eq!(taken(0, 4), [] as [u32; 0]);
    }

    #[test]
    fn no_row_takes_the_other_answer_to_its_prompt() {
        assert_eq!(donors(&[0, 0, 1, 1], 4), [2, 3, 0, 1]);
        assert_eq!(donors(&[0, 0, 1, 1, 2, 2], 2), [4, 5, 0, 1, 2, 3]);
        assert_eq!(donors(&[0, 0, 1, 1, 2, 2], 6), [4, 5, 0, 1, 2, 3]);
        // One of three cannot but be matched: two of them ask the same.
        assert_eq!(donors(&[0, 0, 1], 3), [2, 0, 1]);
    }

    #[test]
    fn the_answer_is_taken_whole_and_cut_for_its_new_prompt() {
        let families = add_mismatched(rows(&[6, 2]), 2, 6);
        let lengths = |family: &Family| family.branches.iter().map(|b| b.tokens.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&families[0]), [4, 2]);
        assert_eq!(lengths(&families[1]), [2, 5]);
        assert_eq!(families[1].branches[1].trained, [true; 5]);
    }
}
