//! Responses of the policy, and what the models say of them.

use serde::{Deserialize, Serialize};

use crate::data::example::{Completion, Example};
use crate::train::Metrics;

/// All responses of an update. Numbers survive a checkpoint to the last bit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    pub update: u64,
    pub responses: Vec<Response>,
    /// `objective/*` and what else is reported of an update.
    pub metrics: Metrics,
}

/// One response; numbers are `[tokens]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Index of the prompt among the training rows.
    pub row: usize,
    pub tokens: Vec<u32>,
    /// Under the policy that sampled it, of the tempered distribution, nats.
    pub log_probs: Vec<f64>,
    pub values: Vec<f64>,
    pub advantages: Vec<f64>,
    pub returns: Vec<f64>,
}

impl Response {
    /// The response as an answer that is trained on.
    pub fn example(&self, prompt: &[u32]) -> Example {
        answered(self.row, prompt, &self.tokens)
    }
}

/// Responses and what the models say of them.
pub struct ScoredResponses {
    pub tokens: Vec<Vec<u32>>,
    /// Under the policy and under the reference, one number per token.
    pub policy: Vec<Vec<f64>>,
    pub reference: Vec<Vec<f64>>,
    /// Less the penalty for a missing end token.
    pub scores: Vec<f64>,
    /// Whether each has an end token.
    pub ended: Vec<bool>,
}

/// A prompt and its row.
#[derive(Clone, Copy)]
pub struct Prompt<'a> {
    pub row: usize,
    pub tokens: &'a [u32],
}

/// A response to the prompt of `row` as an answer that is trained on.
pub fn answered(row: usize, prompt: &[u32], tokens: &[u32]) -> Example {
    let completion = Completion { tokens: tokens.to_vec(), trained: vec![true; tokens.len()] };
    Example { row, prompt: prompt.to_vec(), completions: vec![completion], ..Example::default() }
}
