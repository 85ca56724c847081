//! One row as the policy sees it: the log-probabilities of its answers, and ∂ loss / ∂ log p of each token.

use std::ops::Range;

use super::completion_sums::CompletionSums;
use crate::backend::log_prob::LogProbs;
use crate::batch::ExampleTargets;
use crate::data::example::Example;

/// What a micro-batch counts as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    pub rows: usize,
    /// Trained tokens of all first completions (the chosen answers).
    pub chosen_tokens: usize,
    /// Tokens of all prompts, but the first of each.
    pub prompt_tokens: usize,
    /// Rows taken in so far.
    pub(super) taken: usize,
}

impl Totals {
    pub(super) fn add(&mut self, example: &Example) {
        self.rows += 1;
        self.chosen_tokens +=
            example.completions.first().map_or(0, |b| b.trained.iter().filter(|t| **t).count());
        self.prompt_tokens += example.prompt.len().saturating_sub(1);
    }
}

/// Which rows a pass is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Split {
    Train,
    HeldOut,
}

/// One row as the policy sees it.
pub struct RowLogProbs<'a> {
    pub split: Split,
    /// Index among the rows of its part.
    pub row: usize,
    /// Whether it is among the rows that the metrics of CPO, SimPO and ORPO tell of.
    pub is_told: bool,
    pub example: &'a Example,
    found: &'a LogProbs,
    targets: &'a ExampleTargets,
    /// ∂ loss / ∂ log p of the example's targets.
    pub(super) d_log_probs: Vec<f64>,
}

impl<'a> RowLogProbs<'a> {
    pub(super) fn new(
        split: Split,
        row: usize,
        is_told: bool,
        example: &'a Example,
        found: &'a LogProbs,
        targets: &'a ExampleTargets,
    ) -> Self {
        RowLogProbs {
            split,
            row,
            is_told,
            example,
            found,
            targets,
            d_log_probs: vec![0.0; targets.all().len()],
        }
    }

    /// Sums over completion `index`.
    pub fn completion(&self, index: usize) -> CompletionSums {
        CompletionSums::of(self.found, self.targets.completions[index].clone())
    }

    /// Summed log-probability of the prompt, if it was asked for.
    pub fn prompt(&self) -> f64 {
        self.found.log_prob[self.targets.prompt.clone()].iter().sum()
    }

    /// Log-probability of each token of completion `index`.
    pub fn log_probs(&self, index: usize) -> &[f64] {
        &self.found.log_prob[self.targets.completions[index].clone()]
    }

    /// Adds `d`, ∂ loss / ∂ log p, to every token of completion `index`.
    pub fn add(&mut self, index: usize, d: f64) {
        self.add_to(self.targets.completions[index].clone(), d);
    }

    /// Adds `d` to the tokens of completion `index` from the `first` on.
    pub fn add_from(&mut self, index: usize, first: usize, d: f64) {
        let completion = self.targets.completions[index].clone();
        self.add_to((completion.start + first).min(completion.end)..completion.end, d);
    }

    /// Adds `d` to every token of the prompt.
    pub fn add_to_prompt(&mut self, d: f64) {
        self.add_to(self.targets.prompt.clone(), d);
    }

    fn add_to(&mut self, targets: Range<usize>, d: f64) {
        let first = self.targets.all().start;
        self.d_log_probs[targets.start - first..targets.end - first].iter_mut().for_each(|sum| *sum += d);
    }
}
