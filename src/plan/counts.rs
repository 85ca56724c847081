//! Rows and tokens of a stage, counted on the tokenised rows themselves.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::batch::{Sampler, Steps};
use crate::data::example::Example;
use crate::kinds::StageSettings;

/// What a stage reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    pub train: TokenCounts,
    pub held_out: TokenCounts,
    /// Rows kept, but shortened; among those above.
    pub rows_cut: u64,
    /// Rows that cannot be used, malformed ones included.
    pub rows_dropped: u64,
    /// Reason → rows, for those cut or dropped.
    pub reasons: IndexMap<String, u64>,
    /// Reason → file and line of the first of those rows.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub firsts: IndexMap<String, String>,
    /// Tokens of the longest example.
    #[serde(rename = "longest_family")]
    pub longest_example: u64,
    /// Tokens of the largest optimiser step, or update of ppo, a row's prompt counted once.
    #[serde(default)]
    pub largest_window: u64,
    /// What a person should know of the rows before training on them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// Sums over rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenCounts {
    pub rows: u64,
    /// A row's prompt counted once.
    pub shared: u64,
    /// A row's prompt counted once per answer, as trainers without shared prompts do.
    pub unshared: u64,
    /// Tokens that are trained on.
    pub trained: u64,
    /// Pairs of a token and one that it attends to.
    pub attended: u64,
}

impl TokenCounts {
    /// Adds one row.
    pub fn add(&mut self, example: &Example) {
        self.rows += 1;
        self.shared += example.tokens_shared() as u64;
        self.unshared += example.tokens_unshared() as u64;
        let prompt = example.prompt.len() as u64;
        self.attended += causal(prompt);
        let trained = example.answers().iter().flat_map(|answer| &answer.trained);
        self.trained += trained.filter(|&&trained| trained).count() as u64;
        for completion in &example.completions {
            let tokens = completion.tokens.len() as u64;
            self.attended += tokens * prompt + causal(tokens);
        }
    }
}

/// Pairs in a causal run of tokens.
fn causal(tokens: u64) -> u64 {
    tokens * (tokens + 1) / 2
}

/// How many epochs the largest window is looked for in; more change it little.
const EPOCHS: f64 = 8.0;

/// Tokens of the largest window of training rows; `train`: the tokens of each, shared.
pub fn largest_window(stage: &StageSettings, train: &[u32]) -> u64 {
    let StageSettings { name, kind, training, .. } = stage;
    let mut sampler = Sampler::of(&training.batches, training.seed, name, train.len());
    let epochs = Steps::of(&training.batches, kind.facts().episodes(), train.len()).epochs.min(EPOCHS);
    let windows = (epochs * sampler.windows().per_epoch() as f64).ceil() as u64;
    let tokens = |rows: Vec<usize>| rows.iter().map(|&row| u64::from(train[row])).sum();
    (0..windows).map(|window| tokens(sampler.micro_batches(window).concat())).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::example::Completion;

    #[test]
    fn a_pair_counts_its_prompt_once_or_twice() {
        let completion = |tokens: usize| Completion { tokens: vec![7; tokens], trained: vec![true; tokens] };
        let pair = Example {
            row: 0,
            prompt: vec![1; 4],
            completions: vec![completion(2), completion(3)],
            ..Example::default()
        };
        let mut sum = TokenCounts::default();
        [&pair, &pair].into_iter().for_each(|row| sum.add(row));
        // Attended pairs: 10 in the prompt, 2·4 + 3 and 3·4 + 6 in the answers.
        assert_eq!(sum, TokenCounts { rows: 2, shared: 18, unshared: 26, trained: 10, attended: 78 });
    }

    #[test]
    fn another_row_s_answer_is_read_but_not_trained() {
        let completion = |tokens: usize| Completion { tokens: vec![7; tokens], trained: vec![true; tokens] };
        let row = Example {
            prompt: vec![1; 4],
            completions: vec![completion(2), completion(3)],
            label: Some(true),
            ..Example::default()
        };
        let mut sum = TokenCounts::default();
        sum.add(&row);
        assert_eq!(sum, TokenCounts { rows: 1, shared: 9, unshared: 13, trained: 2, attended: 39 });
    }
}
