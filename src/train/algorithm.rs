//! The kinds whose loss is a function of the log-probabilities of answers: [`Algorithm::loss`] turns
//! those of a micro-batch into its loss, and ∂ loss / ∂ log p of each token.
//!
//! A pass holds as many rows as fit, whatever their micro-batch. An algorithm that couples the rows
//! of a micro-batch gets all of them at once; where they do not fit one pass, their
//! log-probabilities are computed beforehand, without gradients.

use std::ops::Range;
use std::path::Path;

use anyhow::{Result, bail};

use super::means::Means;
use super::metric::LOSS;
use super::row::{RowLogProbs, Split, Totals};
use super::trainer::Trainer;
use super::{Gradients, Metrics, Progress};
use crate::backend::log_prob::LogProbs;
use crate::batch::{ExampleTargets, TargetTokens};
use crate::data::example::Example;

/// What sets one kind of training apart. A kind whose loss is a function of its answers' log-probabilities
/// gives [`Algorithm::loss`]; another one gives [`Algorithm::gradients`] and [`Algorithm::evaluate`].
pub trait Algorithm {
    /// Which log-probabilities `loss` is made from.
    fn target_tokens(&self) -> TargetTokens {
        TargetTokens::Completions
    }

    /// Whether a row's loss depends on the other rows of its micro-batch.
    fn is_coupled(&self) -> bool {
        false
    }

    /// Tokens of a row that count as trained on, each answer with a prompt of its own.
    fn tokens(&self, example: &Example) -> usize {
        example.tokens_unshared()
    }

    /// The part that `rows` (of one micro-batch; all of them if they are coupled) have in the micro-batch's
    /// loss. Adds ∂ loss / ∂ log p to each row, metrics to `means` under `micro`, and returns the loss.
    fn loss(&self, _: usize, _: &Totals, _: &mut [RowLogProbs<'_>], _: &mut Means) -> Result<f64> {
        bail!("this kind of training has no loss of log-probabilities")
    }

    /// Work before the first step, with the models as the stage starts.
    fn prepare(&mut self, _: &mut Trainer, _references: &Path, _: &mut Progress) -> Result<()> {
        Ok(())
    }

    /// Adds the gradients of optimiser step `step`. An `Err` of `progress` leaves everything as it was.
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, _: &mut Progress) -> Result<Gradients> {
        gradients(self, trainer, step)
    }

    /// `loss` and metrics on the held-out rows.
    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        evaluate(self, trainer, progress)
    }

    /// Whether the model answers prompts.
    fn generates(&self) -> bool {
        true
    }

    fn sample_steps(&self) -> Option<u64> {
        None
    }

    /// What the algorithm itself must keep between two steps, beside the trainer's state.
    fn save_state(&self, _dir: &Path) -> Result<()> {
        Ok(())
    }

    fn restore(&mut self, _dir: &Path) -> Result<()> {
        Ok(())
    }
}

/// One optimiser step or evaluation under way.
pub struct StepLoss<'a, A: ?Sized> {
    algorithm: &'a A,
    split: Split,
    /// Of each micro-batch.
    totals: Vec<Totals>,
    /// Rows of each micro-batch that are reported.
    told_rows: usize,
    /// Share of each micro-batch in the loss.
    weights: Vec<f64>,
    means: Means,
    loss: f64,
}

impl<'a, A: Algorithm + ?Sized> StepLoss<'a, A> {
    pub fn new(
        algorithm: &'a A,
        split: Split,
        examples: &[&Example],
        rows: &[(usize, usize)],
        micro_batches: usize,
    ) -> Self {
        let mut totals = vec![Totals::default(); micro_batches];
        for (example, &(micro, _)) in examples.iter().zip(rows) {
            totals[micro].add(example);
        }
        let weights = match split {
            Split::Train => vec![1.0 / micro_batches as f64; micro_batches],
            // a short last group of held-out rows counts by its rows
            Split::HeldOut => totals.iter().map(|t| t.rows as f64 / rows.len() as f64).collect(),
        };
        let told_rows = told_rows(split, &totals);
        StepLoss { algorithm, split, totals, told_rows, weights, means: Means::default(), loss: 0.0 }
    }

    /// Takes in rows in order; returns ∂ loss / ∂ log p of all their targets.
    pub fn take(
        &mut self,
        examples: &[&Example],
        rows: &[(usize, usize)],
        found: &[(&LogProbs, &ExampleTargets)],
    ) -> Result<Vec<f64>> {
        let mut d_log_probs = Vec::new();
        let mut first = 0;
        for rows in rows.chunk_by(|a, b| a.0 == b.0) {
            let micro = rows[0].0;
            let own = first..first + rows.len();
            let taken = self.totals[micro].taken;
            self.totals[micro].taken += rows.len();
            let mut seen: Vec<RowLogProbs<'_>> = rows
                .iter()
                .zip(&examples[own.clone()])
                .zip(&found[own])
                .zip(taken..)
                .map(|(((&(_, row), example), (found, targets)), at)| {
                    RowLogProbs::new(self.split, row, at < self.told_rows, example, found, targets)
                })
                .collect();
            let loss = self.algorithm.loss(micro, &self.totals[micro], &mut seen, &mut self.means)?;
            self.loss += self.weights[micro] * loss;
            d_log_probs.extend(seen.iter().flat_map(|row| &row.d_log_probs).map(|d| self.weights[micro] * d));
            first += rows.len();
        }
        Ok(d_log_probs)
    }

    pub fn finish(self) -> Metrics {
        let mut metrics = Metrics::from([(LOSS.name.to_string(), self.loss)]);
        metrics.extend(self.means.finish());
        metrics
    }
}

/// Rows of each micro-batch that the metrics of CPO, SimPO and ORPO tell of. Where the last micro-batch of
/// an epoch is short, TRL's trainers of these kinds (and of no other) gather from each micro-batch of that
/// optimiser step only as many rows, the first ones: accelerate's `gather_for_metrics`, which drops the
/// rows that fill up a short batch, does so to all of them, as they are fetched together. Losses and
/// gradients have all rows.
fn told_rows(split: Split, totals: &[Totals]) -> usize {
    match (split, totals.last()) {
        (Split::Train, Some(last)) => last.rows,
        _ => usize::MAX,
    }
}

/// Rows of each micro-batch, or each row alone where they are not coupled.
fn groups(coupled: bool, rows: &[(usize, usize)]) -> Vec<usize> {
    match coupled {
        true => rows.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len).collect(),
        false => vec![1; rows.len()],
    }
}

/// Adds the gradients of optimiser step `step`.
pub fn gradients<A: Algorithm + ?Sized>(
    algorithm: &A,
    trainer: &mut Trainer,
    step: u64,
) -> Result<Gradients> {
    let step = trainer.window_rows(step);
    let (trainer, rows) = (&*trainer, step.rows.as_slice());
    let examples: Vec<&Example> = rows.iter().map(|&(_, row)| &trainer.train[row]).collect();
    let mut loss = StepLoss::new(algorithm, Split::Train, &examples, rows, step.micro_batches);
    let coupled = algorithm.is_coupled();
    for pass in trainer.batches.passes_of(&examples, &groups(coupled, rows)) {
        let (examples, rows) = (&examples[pass.clone()], &rows[pass]);
        let parts = trainer.batches.passes(examples);
        // as many rows as fit need no second look
        if parts.len() == 1 || !coupled {
            trainer.train_pass(examples, algorithm.target_tokens(), |batch, found| {
                let found: Vec<_> = batch.examples.iter().map(|targets| (found, targets)).collect();
                loss.take(examples, rows, &found)
            })?;
            continue;
        }
        let mut d_log_probs = loss.take_in_parts(trainer, examples, rows, &parts)?.into_iter();
        for part in parts {
            trainer.train_pass(&examples[part], algorithm.target_tokens(), |batch, _| {
                Ok(d_log_probs.by_ref().take(batch.hidden.len()).collect())
            })?;
        }
    }
    Ok(Gradients {
        metrics: loss.finish(),
        tokens: examples.iter().map(|example| algorithm.tokens(example) as u64).sum(),
        useful_tokens: examples.iter().map(|example| example.tokens_shared() as u64).sum(),
        rows: rows.len() as u64,
    })
}

/// `loss` and metrics on the held-out rows.
pub fn evaluate<A: Algorithm + ?Sized>(
    algorithm: &A,
    trainer: &Trainer,
    progress: &mut Progress,
) -> Result<Metrics> {
    let examples: Vec<&Example> = trainer.eval.iter().collect();
    let coupled = algorithm.is_coupled();
    // as a trainer evaluates: batches of `batch_size` where rows are coupled, else all at once
    let size = if coupled { trainer.settings.batches.batch_size } else { examples.len() };
    let rows: Vec<(usize, usize)> = (0..examples.len()).map(|row| (row / size.max(1), row)).collect();
    let micro_batches = rows.last().map_or(0, |(micro, _)| micro + 1);
    let mut loss = StepLoss::new(algorithm, Split::HeldOut, &examples, &rows, micro_batches);
    for pass in trainer.batches.passes_of(&examples, &groups(coupled, &rows)) {
        progress(pass.start as u64, examples.len() as u64)?;
        let examples = &examples[pass.clone()];
        loss.take_in_parts(trainer, examples, &rows[pass], &trainer.batches.passes(examples))?;
    }
    Ok(loss.finish())
}

impl<A: Algorithm + ?Sized> StepLoss<'_, A> {
    /// As `take`, over rows that take several passes, without gradients.
    fn take_in_parts(
        &mut self,
        trainer: &Trainer,
        examples: &[&Example],
        rows: &[(usize, usize)],
        parts: &[Range<usize>],
    ) -> Result<Vec<f64>> {
        let wanted = self.algorithm.target_tokens();
        let seen = parts.iter().map(|part| match self.split {
            Split::Train => trainer.log_probs_in_training(&examples[part.clone()], wanted),
            Split::HeldOut => trainer.log_probs(trainer.decoder(), &examples[part.clone()], wanted),
        });
        let seen = seen.collect::<Result<Vec<_>>>()?;
        let found: Vec<_> = seen
            .iter()
            .flat_map(|(batch, found)| batch.examples.iter().map(move |targets| (found, targets)))
            .collect();
        self.take(examples, rows, &found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(rows: &[usize]) -> Vec<Totals> {
        rows.iter().map(|&rows| Totals { rows, ..Totals::default() }).collect()
    }

    /// Five rows in micro-batches of two and one optimiser step: TRL 1.16 told of the first, the third and
    /// the fifth, and of all rows where they were held out.
    #[test]
    fn a_short_last_micro_batch_makes_the_others_as_short_in_metrics() {
        assert_eq!(told_rows(Split::Train, &totals(&[2, 2, 1])), 1);
        assert_eq!(told_rows(Split::Train, &totals(&[2, 2])), 2);
        assert_eq!(told_rows(Split::HeldOut, &totals(&[2, 1])), usize::MAX);
    }
}
