//! One answer in a pass: sums over its targets.

use std::ops::Range;

use crate::backend::log_prob::LogProbs;

/// Sums over one answer's targets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct CompletionSums {
    pub log_prob: f64,
    pub entropy: f64,
    pub mean_logit: f64,
    /// Σ (log p − ln Σ_v p(v)²).
    pub aligned: f64,
    pub correct: f64,
    pub tokens: usize,
}

impl CompletionSums {
    pub fn of(log_probs: &LogProbs, targets: Range<usize>) -> Self {
        let sum = |values: &[f64]| -> f64 { values[targets.clone()].iter().sum() };
        let log_prob = sum(&log_probs.log_prob);
        CompletionSums {
            log_prob,
            entropy: sum(&log_probs.entropy),
            mean_logit: sum(&log_probs.mean_logit),
            aligned: log_prob - sum(&log_probs.log_square_sum),
            correct: log_probs.is_arg_max[targets.clone()].iter().filter(|hit| **hit).count() as f64,
            tokens: targets.len(),
        }
    }
}
