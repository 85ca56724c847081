//! Passes of a stage in training: log-probabilities or scores, and the way back.

use anyhow::Result;

use super::trainer::Trainer;
use crate::backend::log_prob::LogProbs;
use crate::batch::{Batch, TargetTokens, keep};
use crate::data::example::Example;
use crate::model::decoder::{Decoder, Keep};
use crate::model::value_head::ValueHead;

impl Trainer {
    /// Log-probabilities under the stage's temperature, without gradients.
    pub fn log_probs(
        &self,
        decoder: &Decoder,
        examples: &[&Example],
        wanted: TargetTokens,
    ) -> Result<(Batch, LogProbs)> {
        self.batches.log_probs(decoder, examples, wanted, self.temperature)
    }

    /// The policy's log-probabilities as a training pass of this step finds them, dropout and all.
    pub fn log_probs_in_training(
        &self,
        examples: &[&Example],
        wanted: TargetTokens,
    ) -> Result<(Batch, LogProbs)> {
        let batch = self.batches.pack(examples, wanted);
        let found =
            self.decoder().log_probs(&batch.tokens(self.dropout()), batch.targets(self.temperature))?;
        Ok((batch, found))
    }

    /// Forward over `examples`, then backward from the ∂ loss / ∂ log p that `objective` makes of
    /// each target's log-probability.
    pub fn train_pass(
        &self,
        examples: &[&Example],
        wanted: TargetTokens,
        objective: impl FnOnce(&Batch, &LogProbs) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let batch = self.batches.pack(examples, wanted);
        let (tokens, targets) = (batch.tokens(self.dropout()), batch.targets(self.temperature));
        let (found, pending) = self.decoder().forward_log_probs(&tokens, targets, self.keep())?;
        let d_log_probs = objective(&batch, &found)?;
        self.decoder().backward_log_probs(&tokens, targets, pending, &d_log_probs)
    }

    /// As [`Trainer::train_pass`], with the scores that `head` gives each target's row.
    pub fn train_scores(
        &self,
        decoder: &Decoder,
        head: &ValueHead,
        examples: &[&Example],
        wanted: TargetTokens,
        objective: impl FnOnce(&Batch, &[f64]) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let batch = self.batches.pack(examples, wanted);
        let tokens = batch.tokens(self.dropout());
        let (found, pending) = decoder.forward_scores(head, &tokens, &batch.hidden, self.keep())?;
        let d_scores = objective(&batch, &found)?;
        decoder.backward_scores(head, &tokens, &batch.hidden, pending, &d_scores)
    }

    fn keep(&self) -> Keep {
        keep(self.settings.gradient_checkpointing)
    }
}
