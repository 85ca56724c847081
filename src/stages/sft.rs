//! Supervised fine-tuning: cross-entropy over the trained tokens of the whole optimiser step.

use anyhow::{Result, bail};

use super::answer::Answer;
use super::batch::Ask;
use super::means::Means;
use super::trainer::Trainer;
use super::{Gradients, Kind, Metrics, Progress};
use crate::data::example::Family;
use crate::objective::nll::nll;

pub struct Sft;

impl Kind for Sft {
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, _: &mut Progress) -> Result<Gradients> {
        let rows = trainer.window_rows(step).rows;
        let trainer = &*trainer;
        let families: Vec<&Family> = rows.iter().map(|&(_, row)| &trainer.train[row]).collect();
        let trained: usize = families.iter().map(|f| trained_tokens(f)).sum();
        if trained == 0 {
            bail!("no token of rows {:?} is trained", rows.iter().map(|&(_, row)| row).collect::<Vec<_>>())
        }
        let mut means = Means::default();
        let mut loss = 0.0;
        for pass in trainer.packaging.passes(&families) {
            trainer.train_pass(&families[pass.clone()], Ask::Answers, |batch, found| {
                for (targets, &(micro, _)) in batch.families.iter().zip(&rows[pass]) {
                    let answer = Answer::of(found, targets.all());
                    loss += nll(answer.log_prob, trained).0;
                    add(&mut means, micro, &answer);
                }
                let (_, slope) = nll(0.0, trained);
                Ok(vec![slope; batch.targets.len()])
            })?;
        }
        let mut metrics = Metrics::from([("loss".to_string(), loss)]);
        metrics.extend(means.finish());
        Ok(Gradients::of(metrics, &families))
    }

    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let families: Vec<&Family> = trainer.eval.iter().collect();
        let mut means = Means::default();
        for pass in trainer.packaging.passes(&families) {
            progress(pass.start as u64, families.len() as u64)?;
            let (batch, found) = trainer.log_probs(trainer.decoder(), &families[pass], Ask::Answers)?;
            for targets in &batch.families {
                let answer = Answer::of(&found, targets.all());
                means.add("loss", 0, -answer.log_prob, answer.tokens as f64);
                add(&mut means, 0, &answer);
            }
        }
        Ok(means.finish())
    }
}

fn add(means: &mut Means, micro: usize, answer: &Answer) {
    let tokens = answer.tokens as f64;
    means.add("entropy", micro, answer.entropy, tokens);
    means.add("mean_token_accuracy", micro, answer.correct, tokens);
}

/// Tokens that the packed batch will ask for: the first token of an empty prompt's answer has
/// nothing to predict it.
fn trained_tokens(family: &Family) -> usize {
    let predicted = |branch: &crate::data::example::Branch| {
        let skip = usize::from(family.prompt.is_empty());
        branch.trained.iter().skip(skip).filter(|trained| **trained).count()
    };
    family.branches.iter().map(predicted).sum()
}
