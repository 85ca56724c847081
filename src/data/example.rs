//! Rows as the engine reads them: token ids, and which of them are trained.

use std::collections::HashSet;

/// One prompt and the answers that continue it. The prompt goes through the model once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Example {
    /// Index of the row in its data set as read (0-based, before any shuffle), for keys and errors.
    pub row: usize,
    /// The token ids that all completions begin with and none of them trains. May be empty.
    pub prompt: Vec<u32>,
    /// For preference rows `[chosen, rejected]`; for sft rows one completion; for unpaired rows the answer
    /// and, if KTO's KL needs it, another row's answer; for prompts none.
    pub completions: Vec<Completion>,
    /// For unpaired rows, whether the answer is desirable.
    pub label: Option<bool>,
    /// For preference rows, how much better the chosen answer is, if the row says so.
    pub margin: Option<f64>,
}

/// One answer: the tokens after the prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Completion {
    pub tokens: Vec<u32>,
    /// Whether each token is trained on, `[tokens.len()]`.
    pub trained: Vec<bool>,
}

impl Completion {
    /// Keeps the first `length` tokens.
    pub fn truncate(&mut self, length: usize) {
        self.tokens.truncate(length);
        self.trained.truncate(length);
    }
}

/// One example per row, in order. Rows with several examples, such as pairs that were split, have only the
/// first of them here.
pub fn one_per_row(examples: &[Example]) -> impl Iterator<Item = &Example> {
    let mut seen = HashSet::new();
    examples.iter().filter(move |example| seen.insert(example.row))
}

/// The rows of a part of a data set, and how many of them have which label.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LabelCounts {
    pub rows: usize,
    pub desirable: usize,
    pub undesirable: usize,
}

impl LabelCounts {
    pub fn add(&mut self, label: Option<bool>) {
        self.rows += 1;
        self.desirable += usize::from(label == Some(true));
        self.undesirable += usize::from(label == Some(false));
    }
}

impl Example {
    /// The answers that are trained: all completions except another row's answer.
    pub fn answers(&self) -> &[Completion] {
        match self.label {
            Some(_) => &self.completions[..self.completions.len().min(1)],
            None => &self.completions,
        }
    }

    /// The number of tokens as a trainer without shared prompts counts them: with the prompt once per
    /// completion.
    pub fn tokens_unshared(&self) -> usize {
        self.completions.iter().map(|b| self.prompt.len() + b.tokens.len()).sum()
    }

    /// The number of tokens that pass through the model: with the prompt once.
    pub fn tokens_shared(&self) -> usize {
        self.prompt.len() + self.completions.iter().map(|b| b.tokens.len()).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_ask_once_wherever_their_examples_stand() {
        let example = |row| Example { row, ..Example::default() };
        let examples = [4, 2, 2, 7, 4].map(example);
        let asked: Vec<usize> = one_per_row(&examples).map(|example| example.row).collect();
        assert_eq!(asked, [4, 2, 7]);
    }
}
