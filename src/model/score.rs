//! Scores of a batch's rows under a decoder and a value head, and the way back from their gradients.

use anyhow::Result;
use candle_core::Tensor;

use super::decoder::{Decoder, Keep, Tokens, Trace};
use super::value_head::ValueHead;
use crate::backend::embedding::{gather, scatter_add};

/// A forward whose backward is still to come.
pub struct PendingScores {
    trace: Trace,
    /// Scored rows after the final norm, `[scores, hidden]`.
    rows: Tensor,
    /// Needed rows, `[needed, hidden]`; only its shape counts.
    hidden: Tensor,
}

impl Decoder {
    /// The score of each of `scored`, which index the needed rows. No backward follows.
    pub fn scores(&self, head: &ValueHead, tokens: &Tokens<'_>, scored: &[u32]) -> Result<Vec<f64>> {
        let (hidden, _) = self.forward(tokens, Keep::Nothing)?;
        head.scores(&gather(&hidden, scored)?)
    }

    /// Scores, and what `backward_scores` needs.
    pub fn forward_scores(
        &self,
        head: &ValueHead,
        tokens: &Tokens<'_>,
        scored: &[u32],
        keep: Keep,
    ) -> Result<(Vec<f64>, PendingScores)> {
        let (hidden, trace) = self.forward(tokens, keep)?;
        let rows = gather(&hidden, scored)?;
        Ok((head.scores(&rows)?, PendingScores { trace, rows, hidden }))
    }

    /// Adds all gradients, the head's too, from ∂ loss / ∂ score of each of `scored`.
    pub fn backward_scores(
        &self,
        head: &ValueHead,
        tokens: &Tokens<'_>,
        scored: &[u32],
        pending: PendingScores,
        d_scores: &[f64],
    ) -> Result<()> {
        let PendingScores { trace, rows, hidden } = pending;
        let d_rows = head.backward(&rows, d_scores)?;
        let d_hidden = hidden.zeros_like()?;
        scatter_add(&d_hidden, scored, &d_rows)?;
        self.backward(tokens, trace, &d_hidden)
    }
}
