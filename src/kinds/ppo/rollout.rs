//! A rollout: the policy's responses to an update's prompts, and all that the steps on them need.

use anyhow::{Context, Result};

use super::metrics::{EPISODE, KL, SCORES};
use super::response::{Prompt, Response, Rollout, ScoredResponses, answered};
use super::state::Ppo;
use super::variety::variety;
use crate::batch::TargetTokens;
use crate::data::example::Example;
use crate::model::decoder::Decoder;
use crate::model::generate::{Choice, Generation, Request, Sampling, generate};
use crate::objective::ppo::{advantages, kl, token_rewards, whiten};
use crate::random::Stream;
use crate::train::trainer::{Critic, Trainer};
use crate::train::{Metrics, Progress};

impl Ppo {
    /// How many tokens the policy may write, where it has rows for more than its scorers: a padded table's
    /// last rows are no token, and a scorer could not read them. `None`: all.
    fn readable_tokens(&self, policy: &Decoder) -> Option<usize> {
        let scorers = [&self.scorers.reference, &self.scorers.reward.decoder];
        let rows = scorers.map(|scorer| scorer.config.vocab_size).into_iter().min();
        rows.filter(|rows| *rows < policy.config.vocab_size)
    }

    /// Samples a response to each prompt, keyed by `stream` and the prompt's row, and has it scored.
    pub fn score(
        &self,
        trainer: &Trainer,
        prompts: &[Prompt<'_>],
        stream: Stream,
        progress: &mut Progress,
    ) -> Result<ScoredResponses> {
        let settings = &self.settings;
        let requests: Vec<Request<'_>> = prompts
            .iter()
            .map(|prompt| Request { prompt: prompt.tokens, stream: stream.key(prompt.row as u64) })
            .collect();
        let sampling =
            Sampling { temperature: settings.temperature, top_k: settings.top_k, top_p: settings.top_p };
        let generation = Generation {
            choice: Choice::Sample(sampling),
            max_new_tokens: settings.response_length,
            end_tokens: &self.end_tokens,
            batch: settings.local_rollout_forward_batch_size,
            first_tokens: self.readable_tokens(trainer.decoder()),
        };
        let penalty = settings.missing_eos_penalty.unwrap_or(0.0);
        let tokens = generate(trainer.decoder(), &requests, &generation, progress)?;
        let ended: Vec<bool> =
            tokens.iter().map(|t| t.last().is_some_and(|last| self.end_tokens.contains(last))).collect();
        let examples: Vec<Example> =
            prompts.iter().zip(&tokens).map(|(prompt, t)| answered(prompt.row, prompt.tokens, t)).collect();
        let closed: Vec<Example> = examples
            .iter()
            .zip(&ended)
            .map(|(example, ended)| {
                let mut example = example.clone();
                if let (true, [completion]) = (*ended, example.completions.as_mut_slice()) {
                    completion.tokens.extend(&self.closing);
                    completion.trained.resize(completion.tokens.len(), false);
                }
                example
            })
            .collect();
        let Critic { decoder, head } = &self.scorers.reward;
        let scores = self.over(trainer, &closed, progress, |examples| {
            Ok(trainer
                .batches
                .scores(decoder, head, examples, TargetTokens::LastTokens(head.passed_over))?
                .1
                .into_iter()
                .map(|s| vec![s])
                .collect())
        })?;
        Ok(ScoredResponses {
            policy: self.log_probs(trainer, trainer.decoder(), &examples, progress)?,
            reference: self.log_probs(trainer, &self.scorers.reference, &examples, progress)?,
            scores: scores
                .concat()
                .into_iter()
                .zip(&ended)
                .map(|(score, ended)| if *ended { score } else { score - penalty })
                .collect(),
            tokens,
            ended,
        })
    }

    fn log_probs(
        &self,
        trainer: &Trainer,
        decoder: &Decoder,
        examples: &[Example],
        progress: &mut Progress,
    ) -> Result<Vec<Vec<f64>>> {
        self.over(trainer, examples, progress, |examples| {
            let (batch, found) = trainer.log_probs(decoder, examples, TargetTokens::Completions)?;
            Ok(batch.examples.iter().map(|targets| found.log_prob[targets.all()].to_vec()).collect())
        })
    }

    /// Applies `f` to examples in passes, and joins what it gives of each.
    fn over(
        &self,
        trainer: &Trainer,
        examples: &[Example],
        progress: &mut Progress,
        f: impl Fn(&[&Example]) -> Result<Vec<Vec<f64>>>,
    ) -> Result<Vec<Vec<f64>>> {
        let examples: Vec<&Example> = examples.iter().collect();
        let mut all = Vec::with_capacity(examples.len());
        for pass in trainer.batches.passes(&examples) {
            progress(pass.start as u64, examples.len() as u64)?;
            all.extend(f(&examples[pass])?);
        }
        Ok(all)
    }

    /// The rollout of an update over training rows `rows`.
    pub fn roll_out(
        &self,
        trainer: &Trainer,
        update: u64,
        rows: Vec<usize>,
        progress: &mut Progress,
    ) -> Result<Rollout> {
        let settings = &self.settings;
        let prompts: Vec<Prompt<'_>> =
            rows.iter().map(|&row| Prompt { row, tokens: &trainer.train[row].prompt }).collect();
        let scored = self.score(trainer, &prompts, self.stream.name("train").key(update), progress)?;
        let examples: Vec<Example> =
            prompts.iter().zip(&scored.tokens).map(|(p, t)| answered(p.row, p.tokens, t)).collect();
        let critic = trainer.models.critic.as_ref().context("a ppo stage has a value model")?;
        let values = self.over(trainer, &examples, progress, |examples| {
            let (batch, values) =
                trainer.batches.scores(&critic.decoder, &critic.head, examples, TargetTokens::Completions)?;
            Ok(batch.examples.iter().map(|targets| values[targets.all()].to_vec()).collect())
        })?;
        let scores = &scored.scores;
        let mut rewards: Vec<Vec<f64>> = scored
            .policy
            .iter()
            .zip(&scored.reference)
            .zip(scores)
            .map(|((old, reference), &score)| {
                token_rewards(old, reference, score, settings.kl_coef, settings.kl_estimator)
            })
            .collect();
        if settings.whiten_rewards {
            over_all(&mut rewards, |all| whiten(all, true));
        }
        let estimated = rewards.iter().zip(&values);
        let (mut advantages, returns): (Vec<Vec<f64>>, Vec<Vec<f64>>) =
            estimated.map(|(r, v)| advantages(r, v, settings.gamma, settings.lam)).unzip();
        over_all(&mut advantages, |all| whiten(all, false));

        let mut metrics = self.objective_metrics(&scored);
        let episode = self.updates.responses_after(update + 1);
        metrics.insert(EPISODE.name.to_string(), episode as f64);
        let numbers = scored.policy.into_iter().zip(values).zip(advantages).zip(returns);
        let responses = rows
            .iter()
            .zip(scored.tokens)
            .zip(numbers)
            .map(|((&row, tokens), (((log_probs, values), advantages), returns))| Response {
                row,
                tokens,
                log_probs,
                values,
                advantages,
                returns,
            })
            .collect();
        Ok(Rollout { update, responses, metrics })
    }

    /// Means over responses, as TRL's.
    pub fn objective_metrics(&self, scored: &ScoredResponses) -> Metrics {
        let scores = &scored.scores;
        let n = scores.len().max(1) as f64;
        let pairs = || scored.policy.iter().flatten().zip(scored.reference.iter().flatten());
        let divergence =
            pairs().map(|(&old, &rho)| kl(self.settings.kl_estimator, old, rho)).sum::<f64>() / n;
        let score = scores.iter().sum::<f64>() / n;
        let penalty = -self.settings.kl_coef * divergence;
        let mut metrics = Metrics::from([
            (KL.name.to_string(), divergence),
            ("objective/entropy".to_string(), -scored.policy.iter().flatten().sum::<f64>() / n),
            ("objective/non_score_reward".to_string(), penalty),
            ("objective/rlhf_reward".to_string(), penalty + score),
            (SCORES.name.to_string(), score),
            ("val/num_eos_tokens".to_string(), scored.ended.iter().filter(|ended| **ended).count() as f64),
        ]);
        let of_response = |(policy, reference): (&Vec<f64>, &Vec<f64>)| {
            policy.iter().zip(reference).map(|(&old, &rho)| kl(self.settings.kl_estimator, old, rho)).sum()
        };
        let divergences = scored.policy.iter().zip(&scored.reference).map(of_response).collect();
        metrics.extend(variety(&scored.tokens, divergences));
        metrics
    }
}

/// Applies `f` to all numbers of all responses at once.
fn over_all(numbers: &mut [Vec<f64>], f: impl FnOnce(&mut [f64])) {
    let mut all: Vec<f64> = numbers.concat();
    f(&mut all);
    let mut rest = all.as_slice();
    for own in numbers {
        let (first, others) = rest.split_at(own.len());
        own.copy_from_slice(first);
        rest = others;
    }
}
