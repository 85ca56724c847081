//! Families packed into one stream of tokens: each prompt once, no padding, and what is asked of it.

use std::ops::Range;

use crate::backend::{Packing, Segment};
use crate::data::example::Family;

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
    /// Tokens whose log-probability is asked for, `[targets]`.
    pub targets: Vec<u32>,
    /// Targets of each branch, families in order, branches in order.
    pub branches: Vec<Range<usize>>,
    /// A key of each token for dropout, the same however the tokens are packed.
    pub row_keys: Vec<u64>,
}

/// Packs families. Without `share_prefix` every branch has a copy of its prompt, which changes
/// results by rounding only.
pub fn pack(families: &[&Family], share_prefix: bool) -> Batch {
    let mut batch = Batch::default();
    let mut asked: Vec<u32> = Vec::new();
    for family in families {
        let shared = if share_prefix { batch.prompt(family) } else { 0..0 };
        for (index, branch) in family.branches.iter().enumerate() {
            let prompt = if share_prefix { shared.clone() } else { batch.prompt(family) };
            let start = batch.ids.len();
            // the last token predicts nothing and nobody attends to it
            let fed = branch.tokens.len().saturating_sub(1);
            batch.ids.extend(&branch.tokens[..fed]);
            let key = |position: usize| row_key(family.row, index + 1, position);
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
            let first = batch.targets.len();
            for (i, (&token, _)) in
                branch.tokens.iter().zip(&branch.trained).enumerate().filter(|(_, (_, trained))| **trained)
            {
                let row = if i > 0 { Some(start + i - 1) } else { prompt.clone().last() };
                if let Some(row) = row {
                    asked.push(row as u32);
                    batch.targets.push(token);
                }
            }
            batch.branches.push(first..batch.targets.len());
            if !share_prefix {
                batch.close_group();
            }
        }
        batch.close_group();
    }
    batch.needed = asked.clone();
    batch.needed.sort_unstable();
    batch.needed.dedup();
    batch.hidden = asked.iter().map(|row| batch.needed.partition_point(|n| n < row) as u32).collect();
    batch
}

fn row_key(row: usize, branch: usize, position: usize) -> u64 {
    ((row as u64) << 40) ^ ((branch as u64) << 32) ^ position as u64
}

impl Batch {
    /// Adds the family's prompt and returns its rows.
    fn prompt(&mut self, family: &Family) -> Range<usize> {
        let start = self.ids.len();
        let len = family.prompt.len();
        self.ids.extend(&family.prompt);
        self.row_keys.extend((0..len).map(|position| row_key(family.row, 0, position)));
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
    use crate::data::example::Branch;

    fn branch(tokens: &[u32], trained: &[bool]) -> Branch {
        Branch { tokens: tokens.to_vec(), trained: trained.to_vec() }
    }

    fn pair() -> Family {
        let branches = vec![branch(&[7, 8], &[true, true]), branch(&[9], &[true])];
        Family { row: 3, prompt: vec![1, 2, 3], branches }
    }

    #[test]
    fn a_prompt_is_shared_and_predicts_the_first_token_of_each_branch() {
        let batch = pack(&[&pair(), &pair()], true);
        assert_eq!(batch.ids, [1, 2, 3, 7, 1, 2, 3, 7]);
        assert_eq!(batch.needed, [2, 3, 6, 7]);
        assert_eq!(batch.hidden, [0, 1, 0, 2, 3, 2]);
        assert_eq!(batch.targets, [7, 8, 9, 7, 8, 9]);
        assert_eq!(batch.branches, [0..2, 2..3, 3..5, 5..6]);
        assert_eq!(batch.packing.groups, [0..2, 2..4]);
        assert_eq!(batch.packing.positions(), [0, 1, 2, 3, 0, 1, 2, 3]);
    }

    #[test]
    fn copies_of_the_prompt_ask_for_the_same_targets() {
        let (shared, copied) = (pack(&[&pair()], true), pack(&[&pair()], false));
        assert_eq!(copied.ids, [1, 2, 3, 7, 1, 2, 3]);
        assert_eq!(copied.targets, shared.targets);
        assert_eq!(copied.packing.groups, [0..2, 2..3]);
        assert_eq!(copied.row_keys[..3], copied.row_keys[4..]);
    }

    #[test]
    fn masked_tokens_and_an_empty_prompt_ask_for_less() {
        let family =
            Family { row: 0, prompt: vec![], branches: vec![branch(&[4, 5, 6], &[true, false, true])] };
        let batch = pack(&[&family], true);
        assert_eq!((batch.needed, batch.targets), (vec![1], vec![6]));
    }
}
