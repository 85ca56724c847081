//! The kinds whose loss is a function of the log-probabilities of answers: an [`Objective`] turns
//! those of a micro-batch into its loss and one slope a token.
//!
//! A pass holds as many rows as fit, whatever their micro-batch. An objective that couples the rows
//! of a micro-batch gets all of them at once; where they do not fit one pass, their
//! log-probabilities are computed beforehand, without gradients.

use std::ops::Range;
use std::path::Path;

use anyhow::Result;

use super::answer::Answer;
use super::batch::{Ask, FamilyTargets};
use super::means::Means;
use super::trainer::Trainer;
use super::{Gradients, Kind, Metrics, Progress};
use crate::backend::log_prob::LogProbs;
use crate::data::example::Family;

/// What tells an objective's kind apart.
pub trait Objective {
    fn ask(&self) -> Ask {
        Ask::Answers
    }

    /// Whether a row's loss depends on the other rows of its micro-batch.
    fn is_coupled(&self) -> bool {
        false
    }

    /// Tokens of a row that count as trained on, prompts counted once an answer.
    fn tokens(&self, family: &Family) -> usize {
        family.tokens_unshared()
    }

    /// Work before the first step, with the policy as the stage starts.
    fn prepare(&mut self, _: &mut Trainer, _references: &Path, _: &mut Progress) -> Result<()> {
        Ok(())
    }

    /// The part that `seen` (rows of one micro-batch; all of them if the objective is coupled) has in
    /// the micro-batch's loss. Writes ∂ loss / ∂ log p into each row's slopes, adds metrics to `means`
    /// under `micro`, and returns the loss.
    fn share(&self, micro: usize, totals: &Totals, seen: &mut [Seen<'_>], means: &mut Means) -> Result<f64>;
}

/// What a micro-batch counts as a whole.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Totals {
    pub rows: usize,
    /// Trained tokens of all first branches (the chosen answers).
    pub chosen_tokens: usize,
    /// Tokens of all prompts, but the first of each.
    pub prompt_tokens: usize,
    /// Rows taken in so far.
    taken: usize,
}

impl Totals {
    fn add(&mut self, family: &Family) {
        self.rows += 1;
        self.chosen_tokens += family.branches.first().map_or(0, |b| b.trained.iter().filter(|t| **t).count());
        self.prompt_tokens += family.prompt.len().saturating_sub(1);
    }
}

/// Which rows a pass is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Train,
    HeldOut,
}

/// One row as the policy sees it.
pub struct Seen<'a> {
    pub part: Part,
    /// Index among the rows of its part.
    pub row: usize,
    /// Whether [`told_rows`] has it among the rows that metrics of CPO, SimPO and ORPO tell of.
    pub is_told: bool,
    pub family: &'a Family,
    found: &'a LogProbs,
    targets: &'a FamilyTargets,
    /// ∂ loss / ∂ log p of the family's targets.
    slopes: Vec<f64>,
}

impl<'a> Seen<'a> {
    fn new(
        part: Part,
        row: usize,
        is_told: bool,
        family: &'a Family,
        found: &'a LogProbs,
        targets: &'a FamilyTargets,
    ) -> Self {
        Seen { part, row, is_told, family, found, targets, slopes: vec![0.0; targets.all().len()] }
    }

    /// Sums over branch `index`.
    pub fn answer(&self, index: usize) -> Answer {
        Answer::of(self.found, self.targets.branches[index].clone())
    }

    /// Summed log-probability of the prompt, if it was asked for.
    pub fn prompt(&self) -> f64 {
        self.found.log_prob[self.targets.prompt.clone()].iter().sum()
    }

    /// Log-probability of each token of branch `index`.
    pub fn log_probs(&self, index: usize) -> &[f64] {
        &self.found.log_prob[self.targets.branches[index].clone()]
    }

    /// Adds `slope` to every token of branch `index`.
    pub fn add_slope(&mut self, index: usize, slope: f64) {
        self.add(self.targets.branches[index].clone(), slope);
    }

    /// Adds `slope` to the tokens of branch `index` from the `first` on.
    pub fn add_slope_from(&mut self, index: usize, first: usize, slope: f64) {
        let branch = self.targets.branches[index].clone();
        self.add((branch.start + first).min(branch.end)..branch.end, slope);
    }

    /// Adds `slope` to every token of the prompt.
    pub fn add_prompt_slope(&mut self, slope: f64) {
        self.add(self.targets.prompt.clone(), slope);
    }

    fn add(&mut self, targets: Range<usize>, slope: f64) {
        let first = self.targets.all().start;
        self.slopes[targets.start - first..targets.end - first].iter_mut().for_each(|s| *s += slope);
    }
}

/// An objective as a kind of stage.
pub struct Answers<O> {
    pub objective: O,
}

/// One optimiser step or evaluation under way.
pub(super) struct Sums<'a, O> {
    objective: &'a O,
    part: Part,
    /// Of each micro-batch.
    totals: Vec<Totals>,
    /// Rows of each micro-batch that are told of.
    told_rows: usize,
    /// Share of each micro-batch in the loss.
    weights: Vec<f64>,
    means: Means,
    loss: f64,
}

impl<'a, O: Objective> Sums<'a, O> {
    pub(super) fn new(
        objective: &'a O,
        part: Part,
        families: &[&Family],
        rows: &[(usize, usize)],
        micro_batches: usize,
    ) -> Self {
        let mut totals = vec![Totals::default(); micro_batches];
        for (family, &(micro, _)) in families.iter().zip(rows) {
            totals[micro].add(family);
        }
        let weights = match part {
            Part::Train => vec![1.0 / micro_batches as f64; micro_batches],
            // a short last group of held-out rows counts by its rows
            Part::HeldOut => totals.iter().map(|t| t.rows as f64 / rows.len() as f64).collect(),
        };
        let told_rows = told_rows(part, &totals);
        Sums { objective, part, totals, told_rows, weights, means: Means::default(), loss: 0.0 }
    }

    /// Takes in rows in order; returns the slopes of all their targets.
    pub(super) fn take(
        &mut self,
        families: &[&Family],
        rows: &[(usize, usize)],
        found: &[(&LogProbs, &FamilyTargets)],
    ) -> Result<Vec<f64>> {
        let mut slopes = Vec::new();
        let mut first = 0;
        for rows in rows.chunk_by(|a, b| a.0 == b.0) {
            let micro = rows[0].0;
            let own = first..first + rows.len();
            let taken = self.totals[micro].taken;
            self.totals[micro].taken += rows.len();
            let mut seen: Vec<Seen<'_>> = rows
                .iter()
                .zip(&families[own.clone()])
                .zip(&found[own])
                .zip(taken..)
                .map(|(((&(_, row), family), (found, targets)), at)| {
                    Seen::new(self.part, row, at < self.told_rows, family, found, targets)
                })
                .collect();
            let loss = self.objective.share(micro, &self.totals[micro], &mut seen, &mut self.means)?;
            self.loss += self.weights[micro] * loss;
            slopes.extend(seen.iter().flat_map(|row| &row.slopes).map(|slope| self.weights[micro] * slope));
            first += rows.len();
        }
        Ok(slopes)
    }

    pub(super) fn finish(self) -> Metrics {
        let mut metrics = Metrics::from([("loss".to_string(), self.loss)]);
        metrics.extend(self.means.finish());
        metrics
    }
}

/// Rows of each micro-batch that the metrics of CPO, SimPO and ORPO tell of. Where the last micro-batch of
/// an epoch is short, TRL's trainers of these kinds (and of no other) gather from each micro-batch of that
/// optimiser step only as many rows, the first ones: accelerate's `gather_for_metrics`, which drops the
/// rows that fill up a short batch, does so to all of them, as they are fetched together. Losses and
/// gradients have all rows.
fn told_rows(part: Part, totals: &[Totals]) -> usize {
    match (part, totals.last()) {
        (Part::Train, Some(last)) => last.rows,
        _ => usize::MAX,
    }
}

/// Rows of each micro-batch, or each row alone where the objective does not care.
fn groups(coupled: bool, rows: &[(usize, usize)]) -> Vec<usize> {
    match coupled {
        true => rows.chunk_by(|a, b| a.0 == b.0).map(<[_]>::len).collect(),
        false => vec![1; rows.len()],
    }
}

impl<O: Objective> Answers<O> {
    /// Adds the gradients of `rows`, (micro-batch, training row).
    fn gradients(&self, trainer: &Trainer, rows: &[(usize, usize)], micro_batches: usize) -> Result<Metrics> {
        let families: Vec<&Family> = rows.iter().map(|&(_, row)| &trainer.train[row]).collect();
        let mut sums = Sums::new(&self.objective, Part::Train, &families, rows, micro_batches);
        let coupled = self.objective.is_coupled();
        for pass in trainer.packaging.passes_of(&families, &groups(coupled, rows)) {
            let (families, rows) = (&families[pass.clone()], &rows[pass]);
            let parts = trainer.packaging.passes(families);
            // as many rows as fit need no second look
            if parts.len() == 1 || !coupled {
                trainer.train_pass(families, self.objective.ask(), |batch, found| {
                    let found: Vec<_> = batch.families.iter().map(|targets| (found, targets)).collect();
                    sums.take(families, rows, &found)
                })?;
                continue;
            }
            let slopes = sums.take_in_parts(trainer, families, rows, &parts)?;
            let mut slopes = slopes.into_iter();
            for part in parts {
                trainer.train_pass(&families[part], self.objective.ask(), |batch, _| {
                    Ok(slopes.by_ref().take(batch.hidden.len()).collect())
                })?;
            }
        }
        Ok(sums.finish())
    }
}

impl<O: Objective> Sums<'_, O> {
    /// As `take`, over rows that take several passes, without gradients.
    fn take_in_parts(
        &mut self,
        trainer: &Trainer,
        families: &[&Family],
        rows: &[(usize, usize)],
        parts: &[Range<usize>],
    ) -> Result<Vec<f64>> {
        let ask = self.objective.ask();
        let seen = parts.iter().map(|part| match self.part {
            Part::Train => trainer.log_probs_in_training(&families[part.clone()], ask),
            Part::HeldOut => trainer.log_probs(trainer.decoder(), &families[part.clone()], ask),
        });
        let seen = seen.collect::<Result<Vec<_>>>()?;
        let found: Vec<_> = seen
            .iter()
            .flat_map(|(batch, found)| batch.families.iter().map(move |targets| (found, targets)))
            .collect();
        self.take(families, rows, &found)
    }
}

impl<O: Objective> Kind for Answers<O> {
    fn prepare(&mut self, trainer: &mut Trainer, references: &Path, progress: &mut Progress) -> Result<()> {
        self.objective.prepare(trainer, references, progress)
    }

    fn gradients(&mut self, trainer: &mut Trainer, step: u64, _: &mut Progress) -> Result<Gradients> {
        let step = trainer.window_rows(step);
        let metrics = Answers::gradients(self, trainer, &step.rows, step.micro_batches)?;
        let families = || step.rows.iter().map(|&(_, row)| &trainer.train[row]);
        Ok(Gradients {
            metrics,
            tokens: families().map(|family| self.objective.tokens(family) as u64).sum(),
            useful_tokens: families().map(|family| family.tokens_shared() as u64).sum(),
            rows: step.rows.len() as u64,
        })
    }

    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let families: Vec<&Family> = trainer.eval.iter().collect();
        let coupled = self.objective.is_coupled();
        // as a trainer evaluates: batches of `batch_size` where rows are coupled, else all at once
        let size = if coupled { trainer.settings.batch_size } else { families.len() };
        let rows: Vec<(usize, usize)> = (0..families.len()).map(|row| (row / size.max(1), row)).collect();
        let micro_batches = rows.last().map_or(0, |(micro, _)| micro + 1);
        let mut sums = Sums::new(&self.objective, Part::HeldOut, &families, &rows, micro_batches);
        for pass in trainer.packaging.passes_of(&families, &groups(coupled, &rows)) {
            progress(pass.start as u64, families.len() as u64)?;
            let families = &families[pass.clone()];
            sums.take_in_parts(trainer, families, &rows[pass], &trainer.packaging.passes(families))?;
        }
        Ok(sums.finish())
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
        assert_eq!(told_rows(Part::Train, &totals(&[2, 2, 1])), 1);
        assert_eq!(told_rows(Part::Train, &totals(&[2, 2])), 2);
        assert_eq!(told_rows(Part::HeldOut, &totals(&[2, 1])), usize::MAX);
    }
}
