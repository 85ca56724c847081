//! Examples packed into one stream of tokens: each prompt once, no padding, and what is asked of it.

use std::ops::Range;

use crate::backend::{Packing, Segment};
use crate::data::example::Example;

/// What is asked of packed examples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetTokens {
    /// The log-probability of each trained token.
    Completions,
    /// That, and of each token of the prompts but the first.
    PromptsAndCompletions,
    /// The hidden state of each completion's last token, or of its last one that is not this.
    LastTokens(Option<u32>),
}

/// One stream and its targets.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Batch {
    /// `[tokens]`
    pub ids: Vec<u32>,
    pub packing: Packing,
    /// Rows whose hidden states are asked for, ascending.
    pub needed: Vec<u32>,
    /// For each target, its row in `needed`.
    pub hidden: Vec<u32>,
    /// Tokens whose log-probability is asked for, `[targets]`; none with [`TargetTokens::LastTokens`].
    pub targets: Vec<u32>,
    /// What each example asks for, examples in order.
    pub examples: Vec<ExampleTargets>,
    /// A key of each token for dropout, the same however the tokens are packed.
    pub row_keys: Vec<u64>,
}

/// An example's targets, which are contiguous: its prompt's, then those of each completion. With
/// [`TargetTokens::LastTokens`] a completion has one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExampleTargets {
    /// Empty unless asked for.
    pub prompt: Range<usize>,
    pub completions: Vec<Range<usize>>,
}

impl ExampleTargets {
    /// All of the example's targets.
    pub fn all(&self) -> Range<usize> {
        self.prompt.start..self.completions.last().map_or(self.prompt.end, |completion| completion.end)
    }
}

/// Packs examples. Without `share_prefix` every completion has a copy of its prompt, which changes
/// results by rounding only.
pub fn pack(examples: &[&Example], wanted: TargetTokens, share_prefix: bool) -> Batch {
    let mut batch = Batch::default();
    // row of the stream of each target
    let mut asked: Vec<u32> = Vec::new();
    for example in examples {
        let shared = if share_prefix { batch.prompt(example) } else { 0..0 };
        let first = asked.len();
        let mut targets = ExampleTargets { prompt: first..first, completions: Vec::new() };
        for (index, completion) in example.completions.iter().enumerate() {
            let prompt = if share_prefix { shared.clone() } else { batch.prompt(example) };
            if index == 0 && wanted == TargetTokens::PromptsAndCompletions && prompt.len() > 1 {
                asked.extend((prompt.start..prompt.end - 1).map(|row| row as u32));
                batch.targets.extend(&example.prompt[1..]);
                targets.prompt.end = asked.len();
            }
            let start = batch.ids.len();
            // unless it is asked for, the last token predicts nothing and nobody attends to it
            let unfed = usize::from(!matches!(wanted, TargetTokens::LastTokens(_)));
            let fed = completion.tokens.len().saturating_sub(unfed);
            batch.ids.extend(&completion.tokens[..fed]);
            let key = |position: usize| row_key(example.row, index + 1, position);
            batch.row_keys.extend((0..fed).map(key));
            if fed > 0 {
                batch.packing.segments.push(Segment {
                    start,
                    len: fed,
                    skip: 0,
                    own_key: start,
                    prefix_start: prompt.start,
                    prefix_len: prompt.len(),
                });
            }
            let first = asked.len();
            let predictor = |i: usize| if i > 0 { Some(start + i - 1) } else { prompt.clone().last() };
            if let TargetTokens::LastTokens(passed_over) = wanted {
                asked.extend(end(&batch.ids, prompt, start..start + fed, passed_over));
            } else {
                let trained = completion.tokens.iter().zip(&completion.trained).enumerate();
                for (i, (&token, _)) in trained.filter(|(_, (_, trained))| **trained) {
                    if let Some(row) = predictor(i) {
                        asked.push(row as u32);
                        batch.targets.push(token);
                    }
                }
            }
            targets.completions.push(first..asked.len());
            if !share_prefix {
                batch.close_group();
            }
        }
        batch.examples.push(targets);
        batch.close_group();
    }
    batch.needed = asked.clone();
    batch.needed.sort_unstable();
    batch.needed.dedup();
    batch.hidden = asked.iter().map(|row| batch.needed.partition_point(|n| n < row) as u32).collect();
    batch
}

/// The row at which a completion's score is read: its last one, or the last one whose token is not
/// `passed_over`; the first if it has no other. `None` if there are no rows.
fn end(ids: &[u32], prompt: Range<usize>, completion: Range<usize>, passed_over: Option<u32>) -> Option<u32> {
    let rows = || prompt.clone().chain(completion.clone());
    let last = rows().rfind(|&row| Some(ids[row]) != passed_over);
    last.or_else(|| rows().next()).map(|row| row as u32)
}

fn row_key(row: usize, completion: usize, position: usize) -> u64 {
    ((row as u64) << 40) ^ ((completion as u64) << 32) ^ position as u64
}

impl Batch {
    /// Adds the example's prompt and returns its rows.
    fn prompt(&mut self, example: &Example) -> Range<usize> {
        let start = self.ids.len();
        let len = example.prompt.len();
        self.ids.extend(&example.prompt);
        self.row_keys.extend((0..len).map(|position| row_key(example.row, 0, position)));
        if len > 0 {
            let segment = Segment { start, len, skip: 0, own_key: start, prefix_start: 0, prefix_len: 0 };
            self.packing.segments.push(segment);
        }
        start..start + len
    }

    fn close_group(&mut self) {
        let first = self.packing.groups.last().map_or(0, |group| group.end);
        if self.packing.segments.len() > first {
            self.packing.groups.push(first..self.packing.segments.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::example::Completion;

    fn completion(tokens: &[u32], trained: &[bool]) -> Completion {
        Completion { tokens: tokens.to_vec(), trained: trained.to_vec() }
    }

    fn pair() -> Example {
        let completions = vec![completion(&[7, 8], &[true, true]), completion(&[9], &[true])];
        Example { row: 3, prompt: vec![1, 2, 3], completions, ..Example::default() }
    }

    #[test]
    fn a_prompt_is_shared_and_predicts_the_first_token_of_each_completion() {
        let batch = pack(&[&pair(), &pair()], TargetTokens::Completions, true);
        assert_eq!(batch.ids, [1, 2, 3, 7, 1, 2, 3, 7]);
        assert_eq!(batch.needed, [2, 3, 6, 7]);
        assert_eq!(batch.hidden, [0, 1, 0, 2, 3, 2]);
        assert_eq!(batch.targets, [7, 8, 9, 7, 8, 9]);
        let targets = |prompt, completions: [Range<usize>; 2]| ExampleTargets {
            prompt,
            completions: completions.into(),
        };
        assert_eq!(batch.examples, [targets(0..0, [0..2, 2..3]), targets(3..3, [3..5, 5..6])]);
        assert_eq!(batch.packing.groups, [0..2, 2..4]);
        assert_eq!(batch.packing.positions(), [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn copies_of_the_prompt_ask_for_the_same_targets() {
        let (shared, copied) = (
            pack(&[&pair()], TargetTokens::Completions, true),
            pack(&[&pair()], TargetTokens::Completions, false),
        );
        assert_eq!(copied.ids, [1, 2, 3, 7, 1, 2, 3]);
        assert_eq!(copied.targets, shared.targets);
        assert_eq!(copied.packing.groups, [0..2, 2..3]);
        assert_eq!(copied.row_keys[..3], copied.row_keys[4..]);
    }

    #[test]
    fn masked_tokens_and_an_empty_prompt_ask_for_less() {
        let completions = vec![completion(&[4, 5, 6], &[true, false, true])];
        let example = Example { completions, ..Example::default() };
        let batch = pack(&[&example], TargetTokens::Completions, true);
        assert_eq!((batch.needed, batch.targets), (vec![1], vec![6]));
    }

    #[test]
    fn prompts_and_ends_are_asked_for_once_an_example_and_once_a_completion() {
        for share_prefix in [true, false] {
            let with_prompt = pack(&[&pair()], TargetTokens::PromptsAndCompletions, share_prefix);
            assert_eq!(with_prompt.targets, [2, 3, 7, 8, 9]);
            assert_eq!(with_prompt.examples[0].prompt, 0..2);
            assert_eq!(with_prompt.examples[0].all(), 0..5);
        }
        let ends = pack(&[&pair(), &pair()], TargetTokens::LastTokens(None), true);
        assert_eq!(ends.ids, [1, 2, 3, 7, 8, 9, 1, 2, 3, 7, 8, 9]);
        assert_eq!(ends.needed, [4, 5, 10, 11]);
        assert_eq!((ends.hidden, ends.targets), (vec![0, 1, 2, 3], vec![]));
        assert_eq!(ends.examples[1].completions, [2..3, 3..4]);
    }

    #[test]
    fn a_score_is_read_before_tokens_that_are_passed_over() {
        let ends = |example: &Example, passed_over, share_prefix| {
            let batch = pack(&[example], TargetTokens::LastTokens(passed_over), share_prefix);
            batch.hidden.iter().map(|&hidden| batch.needed[hidden as usize]).collect::<Vec<_>>()
        };
        assert_eq!(ends(&pair(), Some(8), true), [3, 5]);
        assert_eq!(ends(&pair(), Some(9), true), [4, 2]);
        assert_eq!(ends(&pair(), Some(9), false), [4, 7]);
        let padding =
            Example { prompt: vec![5, 5], completions: vec![completion(&[5, 5], &[])], ..Example::default() };
        assert_eq!(ends(&padding, Some(5), true), [0]);
        let alone = Example { completions: vec![completion(&[5, 5], &[])], ..Example::default() };
        assert_eq!(ends(&alone, Some(5), true), [0]);
    }
}
