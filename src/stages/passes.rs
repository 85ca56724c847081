//! Passes over packed rows: log-probabilities or scores, with or without the way back.

use std::ops::Range;

use anyhow::Result;

use super::batch::{Ask, Batch, pack};
use super::trainer::Trainer;
use crate::backend::log_prob::LogProbs;
use crate::backend::random::Stream;
use crate::data::example::Family;
use crate::model::decoder::{Decoder, Keep, Tokens};
use crate::model::log_prob::Targets;
use crate::model::value_head::ValueHead;

/// Sums over one answer's targets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answer {
    pub log_prob: f64,
    pub entropy: f64,
    pub mean_logit: f64,
    /// Σ (log p − ln Σ_v p(v)²).
    pub aligned: f64,
    pub correct: f64,
    pub tokens: usize,
}

impl Answer {
    pub fn of(log_probs: &LogProbs, targets: Range<usize>) -> Self {
        let sum = |values: &[f64]| -> f64 { values[targets.clone()].iter().sum() };
        let log_prob = sum(&log_probs.log_prob);
        Answer {
            log_prob,
            entropy: sum(&log_probs.entropy),
            mean_logit: sum(&log_probs.mean_logit),
            aligned: log_prob - sum(&log_probs.log_square_sum),
            correct: log_probs.is_arg_max[targets.clone()].iter().filter(|hit| **hit).count() as f64,
            tokens: targets.len(),
        }
    }
}

impl Trainer {
    /// Consecutive families that fit a pass.
    pub fn passes(&self, families: &[&Family]) -> Vec<Range<usize>> {
        self.passes_of(families, &vec![1; families.len()])
    }

    /// Passes that hold whole groups of consecutive families; a group that does not fit is a pass by
    /// itself.
    pub fn passes_of(&self, families: &[&Family], groups: &[usize]) -> Vec<Range<usize>> {
        let share = self.packaging.share_prefix;
        let size = |f: &Family| if share { f.tokens_shared() } else { f.tokens_unshared() };
        let mut passes: Vec<Range<usize>> = Vec::new();
        let (mut tokens, mut first) = (0, 0);
        for group in groups {
            let end = first + group;
            let own: usize = families[first..end].iter().map(|family| size(family)).sum();
            tokens += own;
            match passes.last_mut() {
                Some(pass) if tokens <= self.packaging.token_budget => pass.end = end,
                _ => {
                    tokens = own;
                    passes.push(first..end);
                }
            }
            first = end;
        }
        passes
    }

    /// Log-probabilities of what is asked for, without gradients.
    pub fn log_probs(&self, decoder: &Decoder, families: &[&Family], ask: Ask) -> Result<(Batch, LogProbs)> {
        let batch = pack(families, ask, self.packaging.share_prefix);
        let found = decoder.log_probs(&tokens(&batch, None), self.targets(&batch))?;
        Ok((batch, found))
    }

    /// Forward over `families`, then backward from the slopes ∂ loss / ∂ log p that `objective` makes of
    /// each target's log-probability.
    pub fn train_pass(
        &self,
        families: &[&Family],
        ask: Ask,
        objective: impl FnOnce(&Batch, &LogProbs) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let batch = pack(families, ask, self.packaging.share_prefix);
        let tokens = tokens(&batch, self.dropout());
        let decoder = self.decoder();
        let (found, pending) = decoder.forward_log_probs(&tokens, self.targets(&batch), self.keep())?;
        let slopes = objective(&batch, &found)?;
        decoder.backward_log_probs(&tokens, self.targets(&batch), pending, &slopes)
    }

    /// The score of each target's row, without gradients.
    pub fn scores(
        &self,
        decoder: &Decoder,
        head: &ValueHead,
        families: &[&Family],
        ask: Ask,
    ) -> Result<(Batch, Vec<f64>)> {
        let batch = pack(families, ask, self.packaging.share_prefix);
        let found = decoder.scores(head, &tokens(&batch, None), &batch.hidden)?;
        Ok((batch, found))
    }

    /// As [`Trainer::train_pass`], with the scores that `head` gives each target's row.
    pub fn train_scores(
        &self,
        decoder: &Decoder,
        head: &ValueHead,
        families: &[&Family],
        ask: Ask,
        objective: impl FnOnce(&Batch, &[f64]) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let batch = pack(families, ask, self.packaging.share_prefix);
        let tokens = tokens(&batch, self.dropout());
        let (found, pending) = decoder.forward_scores(head, &tokens, &batch.hidden, self.keep())?;
        let slopes = objective(&batch, &found)?;
        decoder.backward_scores(head, &tokens, &batch.hidden, pending, &slopes)
    }

    fn keep(&self) -> Keep {
        if self.settings.gradient_checkpointing { Keep::LayerInputs } else { Keep::All }
    }

    fn targets<'a>(&self, batch: &'a Batch) -> Targets<'a> {
        Targets { hidden: &batch.hidden, tokens: &batch.targets, temperature: self.temperature }
    }
}

fn tokens(batch: &Batch, dropout: Option<Stream>) -> Tokens<'_> {
    Tokens {
        ids: &batch.ids,
        packing: &batch.packing,
        needed: &batch.needed,
        dropout: dropout.map(|stream| (stream, batch.row_keys.as_slice())),
    }
}
