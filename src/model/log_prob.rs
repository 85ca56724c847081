//! Log-probabilities of a batch's targets under a decoder, and the way back from their gradients.
//! With a temperature τ they are those of softmax(logits / τ), which is softmax over `h/τ` × head.

use anyhow::Result;
use candle_core::Tensor;

use super::decoder::{Decoder, Keep, Tokens, Trace};
use crate::backend::embedding::{gather, scatter_add};
use crate::backend::log_prob::{LogProbs, head_backward, log_probs};
use crate::backend::profile::{Op, time};
use crate::backend::scale::{scale, scale_rows};

/// Targets of a stream: for each, its row among the needed rows, and its token.
#[derive(Clone, Copy)]
pub struct Targets<'a> {
    pub hidden: &'a [u32],
    pub tokens: &'a [u32],
    /// 1: the model's own distribution.
    pub temperature: f64,
}

impl Targets<'_> {
    /// Hidden rows of the targets, divided by the temperature.
    fn rows(&self, hidden: &Tensor) -> Result<Tensor> {
        let rows = gather(hidden, self.hidden)?;
        self.divide(&rows)?;
        Ok(rows)
    }

    fn divide(&self, rows: &Tensor) -> Result<()> {
        Ok(scale(rows, 1.0 / self.temperature)?)
    }
}

/// A forward whose backward is still to come.
pub struct Pending {
    trace: Trace,
    /// Needed rows after the final norm, `[needed, hidden]`.
    hidden: Tensor,
    /// d log p / d hidden `[targets, hidden]`, when the head is frozen.
    direction: Option<Tensor>,
}

impl Decoder {
    /// Log-probabilities without a backward to come.
    pub fn log_probs(&self, tokens: &Tokens<'_>, targets: Targets<'_>) -> Result<LogProbs> {
        let (hidden, _) = self.forward(tokens, Keep::Nothing)?;
        time(Op::Head, || {
            let rows = targets.rows(&hidden)?;
            Ok(log_probs(&rows, &self.head()?.value, targets.tokens, false)?.0)
        })
    }

    /// Log-probabilities, and what `backward_log_probs` needs.
    pub fn forward_log_probs(
        &self,
        tokens: &Tokens<'_>,
        targets: Targets<'_>,
        keep: Keep,
    ) -> Result<(LogProbs, Pending)> {
        let (hidden, trace) = self.forward(tokens, keep)?;
        let head = self.head()?;
        let rows = targets.rows(&hidden)?;
        let (found, direction) =
            time(Op::Head, || log_probs(&rows, &head.value, targets.tokens, head.grad.is_none()))?;
        Ok((found, Pending { trace, hidden, direction }))
    }

    /// Adds all gradients, from ∂ loss / ∂ log p of each target.
    pub fn backward_log_probs(
        &self,
        tokens: &Tokens<'_>,
        targets: Targets<'_>,
        pending: Pending,
        coefficients: &[f64],
    ) -> Result<()> {
        let Pending { trace, hidden, direction } = pending;
        let head = self.head()?;
        let d_rows = match (direction, &head.grad) {
            (Some(direction), _) => {
                scale_rows(&direction, coefficients)?;
                direction
            }
            (None, Some(grad)) => {
                let rows = targets.rows(&hidden)?;
                time(Op::Head, || head_backward(&rows, &head.value, targets.tokens, coefficients, grad))?
            }
            (None, None) => anyhow::bail!("a frozen head came without its direction"),
        };
        targets.divide(&d_rows)?;
        let d_hidden = hidden.zeros_like()?;
        scatter_add(&d_hidden, targets.hidden, &d_rows)?;
        self.backward(tokens, trace, &d_hidden)
    }
}
