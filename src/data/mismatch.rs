//! KTO's mismatched completions (2402.01306, section 4.1): every row with another row's answer, from which
//! the KL between policy and reference is estimated. As in TRL, the answers of a micro-batch are rotated by
//! one, before any shuffle: `(x₁, yₙ), (x₂, y₁), …, (xₙ, yₙ₋₁)`. Answers of pairs are ordered so that the
//! two answers to a prompt are far apart: see [`super::read`].

use super::example::{Completion, Example};

/// Gives every row a second completion: the answer of the row before it within its group of `batch_size`
/// rows. The first row of a group gets the answer of the last one; a group of one row keeps its own answer.
/// The answer is taken as it was before it was cut (`rows` have it beside the example, where it was), and then
/// cut to `max_length` again. Groups follow each other, so rows may also be given a few whole groups at a time.
pub fn add_mismatched(
    rows: Vec<(Example, Option<Completion>)>,
    batch_size: usize,
    max_length: usize,
) -> Vec<Example> {
    let answers: Vec<Option<Completion>> = rows.iter().map(answer).collect();
    let donors = donors(rows.len(), batch_size.max(1));
    let with = |((mut example, _), donor): ((Example, Option<Completion>), usize)| {
        if let Some(mut mismatched) = answers[donor].clone() {
            mismatched.truncate(max_length.saturating_sub(example.prompt.len()));
            example.completions.push(mismatched);
        }
        example
    };
    rows.into_iter().zip(donors).map(with).collect()
}

/// Whether the last of `rows` has a group to itself, so that its answer is not mismatched.
pub fn ends_alone(rows: usize, batch_size: usize) -> bool {
    rows % batch_size.max(1) == 1 || (rows > 0 && batch_size <= 1)
}

/// For each row, the index of the row whose answer it gets.
fn donors(rows: usize, batch_size: usize) -> impl Iterator<Item = usize> {
    (0..rows).map(move |row| match row % batch_size {
        0 => rows.min(row + batch_size) - 1,
        _ => row - 1,
    })
}

/// A row's answer before it was cut.
fn answer((example, uncut): &(Example, Option<Completion>)) -> Option<Completion> {
    uncut.as_ref().or(example.completions.first()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with one prompt token, whose answers are the row's number repeated `length` times.
    fn rows(lengths: &[usize]) -> Vec<(Example, Option<Completion>)> {
        let answer =
            |row: usize, length| Completion { tokens: vec![row as u32; length], trained: vec![true; length] };
        let row = |(row, &length): (usize, &usize)| {
            let whole = answer(row, length);
            let mut cut = whole.clone();
            cut.truncate(4);
            let example =
                Example { row, prompt: vec![9], completions: vec![cut], label: Some(true), margin: None };
            (example, (length > 4).then_some(whole))
        };
        lengths.iter().enumerate().map(row).collect()
    }

    fn taken(rows: usize, batch_size: usize) -> Vec<u32> {
        let examples = add_mismatched(self::rows(&vec![1; rows]), batch_size, 5);
        examples.iter().map(|example| example.completions[1].tokens[0]).collect()
    }

    #[test]
    fn answers_turn_by_one_within_their_group() {
        assert_eq!(taken(6, 3), [2, 0, 1, 5, 3, 4]);
        assert_eq!(taken(5, 3), [2, 0, 1, 4, 3]);
        // The last group has one row, which keeps its own answer.
        assert_eq!(taken(4, 3), [2, 0, 1, 3]);
        assert_eq!(taken(1, 4), [0]);
        assert_eq!(taken(0, 4), [] as [u32; 0]);
    }

    #[test]
    fn a_row_alone_is_told() {
        assert!(ends_alone(4, 3) && ends_alone(1, 4));
        assert!(!ends_alone(5, 3) && !ends_alone(6, 3) && !ends_alone(0, 4));
    }

    #[test]
    fn the_answer_is_taken_whole_and_cut_for_its_new_prompt() {
        let examples = add_mismatched(rows(&[6, 2]), 2, 6);
        let lengths =
            |example: &Example| example.completions.iter().map(|b| b.tokens.len()).collect::<Vec<_>>();
        assert_eq!(lengths(&examples[0]), [4, 2]);
        assert_eq!(lengths(&examples[1]), [2, 5]);
        assert_eq!(examples[1].completions[1].trained, [true; 5]);
    }
}
