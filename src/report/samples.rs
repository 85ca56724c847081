//! `samples.jsonl`: questions and the model's answers, before and after a stage.

use serde::{Deserialize, Serialize};

/// One line of `samples.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRow {
    /// Optimiser steps done when the model answered.
    pub step: u64,
    pub prompt: String,
    pub answer: String,
}

/// A question with the answers of the untrained and the trained model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BeforeAfter {
    pub prompt: String,
    pub before: String,
    pub after: String,
}

/// Pairs the first answer to each question with the last one.
pub fn before_after(rows: &[SampleRow]) -> Vec<BeforeAfter> {
    let first = rows.iter().filter(|row| row.step == 0);
    let pair = |before: &SampleRow| {
        let after = rows.iter().rfind(|row| row.step > 0 && row.prompt == before.prompt)?;
        Some(BeforeAfter {
            prompt: before.prompt.clone(),
            before: before.answer.clone(),
            after: after.answer.clone(),
        })
    };
    first.filter_map(pair).collect()
}
