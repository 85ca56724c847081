//! Supervised fine-tuning: cross-entropy over the trained tokens of the whole optimiser step.

use anyhow::{Result, bail};

use super::OfKind;
use super::facts::{Facts, Fields, Rates};
use crate::batch::TargetTokens;
use crate::data::Need;
use crate::data::example::Example;
use crate::objective::nll::nll;
use crate::train::completion_sums::CompletionSums;
use crate::train::means::Means;
use crate::train::metric::{LOSS, MEAN_TOKEN_ACCURACY};
use crate::train::trainer::Trainer;
use crate::train::{Algorithm, Gradients, Metrics, Opening, Progress};

/// `kind = "sft"` has no keys of its own.
pub struct SftSettings;

impl OfKind for SftSettings {
    fn name(&self) -> &'static str {
        "sft"
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            learning_rate: Rates { full: 2e-5, lora: 1e-4 },
            rows: Need::Sft,
            is_compared: false,
            metrics: &[MEAN_TOKEN_ACCURACY],
            ..Facts::default()
        }
    }

    fn add_fields(&self, _: &mut Fields) -> serde_json::Result<()> {
        Ok(())
    }

    fn open(&self, _: &mut Opening<'_>) -> Result<Box<dyn Algorithm>> {
        Ok(Box::new(Sft))
    }
}

struct Sft;

impl Algorithm for Sft {
    fn gradients(&mut self, trainer: &mut Trainer, step: u64, _: &mut Progress) -> Result<Gradients> {
        let rows = trainer.window_rows(step).rows;
        let trainer = &*trainer;
        let examples: Vec<&Example> = rows.iter().map(|&(_, row)| &trainer.train[row]).collect();
        let trained: usize = examples.iter().map(|f| trained_tokens(f)).sum();
        if trained == 0 {
            bail!("no token of rows {:?} is trained", rows.iter().map(|&(_, row)| row).collect::<Vec<_>>())
        }
        let mut means = Means::default();
        let mut loss = 0.0;
        for pass in trainer.batches.passes(&examples) {
            trainer.train_pass(&examples[pass.clone()], TargetTokens::Completions, |batch, found| {
                for (targets, &(micro, _)) in batch.examples.iter().zip(&rows[pass]) {
                    let answer = CompletionSums::of(found, targets.all());
                    loss += nll(answer.log_prob, trained).0;
                    add(&mut means, micro, &answer);
                }
                let (_, d_log_prob) = nll(0.0, trained);
                Ok(vec![d_log_prob; batch.targets.len()])
            })?;
        }
        let mut metrics = Metrics::from([(LOSS.name.to_string(), loss)]);
        metrics.extend(means.finish());
        Ok(Gradients::of(metrics, &examples))
    }

    fn evaluate(&mut self, trainer: &Trainer, progress: &mut Progress) -> Result<Metrics> {
        let examples: Vec<&Example> = trainer.eval.iter().collect();
        let mut means = Means::default();
        for pass in trainer.batches.passes(&examples) {
            progress(pass.start as u64, examples.len() as u64)?;
            let (batch, found) =
                trainer.log_probs(trainer.decoder(), &examples[pass], TargetTokens::Completions)?;
            for targets in &batch.examples {
                let answer = CompletionSums::of(&found, targets.all());
                means.add(LOSS.name, 0, -answer.log_prob, answer.tokens as f64);
                add(&mut means, 0, &answer);
            }
        }
        Ok(means.finish())
    }
}

fn add(means: &mut Means, micro: usize, answer: &CompletionSums) {
    let tokens = answer.tokens as f64;
    means.add("entropy", micro, answer.entropy, tokens);
    means.add(MEAN_TOKEN_ACCURACY.name, micro, answer.correct, tokens);
}

/// Tokens that the packed batch will ask for: the first token of an empty prompt's answer has
/// nothing to predict it.
fn trained_tokens(example: &Example) -> usize {
    let predicted = |completion: &crate::data::example::Completion| {
        let skip = usize::from(example.prompt.is_empty());
        completion.trained.iter().skip(skip).filter(|trained| **trained).count()
    };
    example.completions.iter().map(predicted).sum()
}
