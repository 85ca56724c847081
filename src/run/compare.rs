//! Measures stages that start from one model alike, on the same held-out pairs and prompts, so that kinds
//! with different losses can be compared.

use anyhow::{Context, Result};

use crate::backend::Compute;
use crate::batch::{BatchPolicy, TargetTokens};
use crate::data::example::{Completion, Example, one_per_row};
use crate::kinds::{Source, StageRows};
use crate::model::decoder::Decoder;
use crate::model::generate::{Choice, Generation, Request, Sampling, generate, greedy};
use crate::model::policy::Models;
use crate::plan::base::Base;
use crate::plan::content;
use crate::plan::document::{ComparisonPlan, Plan, StagePlan};
use crate::plan::finished::Summary;
use crate::plan::folder::RunFolder;
use crate::plan::resolve::Resolved;
use crate::plan::rows::StageData;
use crate::random::{Purpose, Stream};
use crate::report::comparison::{self, Compared, Comparison};
use crate::report::console::Console;
use crate::run::atomic;
use crate::run::exact_match::Accepted;
use crate::run::interrupt::Interrupt;
use crate::run::verify;
use crate::train::Progress;
use crate::train::reference::Reference;

/// Answers that are generated at once.
const BATCH: usize = 32;

/// What a comparison reads and where it writes.
pub struct Comparing<'a> {
    pub recipe: &'a Resolved,
    pub plan: &'a Plan,
    pub base: &'a Base,
    pub folder: &'a RunFolder,
    pub compute: &'a Compute,
    pub interrupt: &'a Interrupt,
    pub console: &'a Console,
}

impl Comparing<'_> {
    /// Makes the comparisons whose stages changed, keeps those of stages that are not planned, and
    /// writes all of them. Says whether any is new.
    pub fn run(&self) -> Result<(Vec<Comparison>, bool)> {
        let before = comparison::read(self.folder);
        let mut comparisons = before.clone();
        let mut is_new = false;
        for planned in &self.plan.comparisons {
            let group = self.stages(planned)?;
            let key = self.key(planned, &group)?;
            match comparisons.iter_mut().find(|comparison| comparison.key == key) {
                Some(known) => {
                    for stage in &mut known.stages {
                        stage.seconds = self.seconds(&stage.name)?;
                    }
                }
                None => {
                    let made = self.compare(planned, &group, key)?;
                    let is_of_group = |stage: &Compared| group.iter().any(|own| own.name() == stage.name);
                    comparisons.retain(|old| !old.stages.iter().any(is_of_group));
                    comparisons.push(made);
                    is_new = true;
                }
            }
        }
        if comparisons != before {
            atomic::write_file(&self.folder.comparison(), &serde_json::to_vec_pretty(&comparisons)?)?;
        }
        Ok((comparisons, is_new))
    }

    /// The stages of a comparison.
    fn stages(&self, planned: &ComparisonPlan) -> Result<Vec<&StagePlan>> {
        planned.stages.iter().map(|name| self.stage(name)).collect()
    }

    fn stage(&self, name: &str) -> Result<&StagePlan> {
        let stage = self.plan.stages.iter().find(|stage| stage.name() == name);
        stage.with_context(|| format!("no stage `{name}` is planned"))
    }

    /// A digest of everything that the figures depend on.
    fn key(&self, planned: &ComparisonPlan, group: &[&StagePlan]) -> Result<String> {
        let &ComparisonPlan { max_prompts, answer_tokens, .. } = planned;
        let fingerprints: Vec<&str> = group.iter().map(|stage| stage.fingerprint.as_str()).collect();
        let key = serde_json::to_string(&(fingerprints, self.recipe.seed, max_prompts, answer_tokens))?;
        Ok(content::text(&key))
    }

    fn seconds(&self, stage: &str) -> Result<f64> {
        Ok(Summary::read(&self.folder.stage(stage).summary())?.seconds)
    }

    fn compare(&self, planned: &ComparisonPlan, group: &[&StagePlan], key: String) -> Result<Comparison> {
        let phase = self.console.phase("comparing the stages");
        let first = self.stage(&planned.pairs_of)?;
        let answer_tokens = planned.answer_tokens;
        let settings = &first.settings;
        let data = self.recipe.data.get(&settings.data).context("the stages have data")?;
        let read = StageData::read(settings, data, &self.base.template, &self.base.tokenizer)?;
        let StageRows { held_out: pairs, end_tokens, .. } = read.stage_rows()?;
        let accepted_answers = read.accepted_answers;
        verify::check(group.iter().flat_map(|stage| [&stage.policy, &stage.result]))?;
        let mut opened = Models::at(self.compute);
        let start = opened.frozen(&first.policy)?;
        let batches =
            BatchPolicy::for_model(&start.config, self.plan.base.device, self.plan.base.dtype, false);
        let mut progress = phase.progress(|| self.interrupt.check());
        let rows = (&[][..], &[][..], pairs.as_slice());
        let reference =
            Reference::obtain(&self.folder.references(), &start, batches, rows, None, &mut progress)?;
        let prompts = &pairs[..pairs.len().min(planned.max_prompts)];
        let own = self.answers(&start, prompts, answer_tokens, &end_tokens, &mut progress)?;
        let decode = |tokens: &[u32]| self.base.tokenizer.decode_plain(tokens);
        let accepted = Accepted { answers: &accepted_answers, end_tokens: &end_tokens, decode: &decode };
        let exact_match = |decoder: &Decoder, progress: &mut Progress| {
            let asked: Vec<&Example> = one_per_row(&pairs).collect();
            let answer = |rows: &[usize], most| {
                let prompts: Vec<Vec<u32>> = rows.iter().map(|&row| asked[row].prompt.clone()).collect();
                greedy(decoder, &prompts, most, &end_tokens)
            };
            accepted.exact_match(answer, progress)
        };
        let start_exact_match = exact_match(&start, &mut progress)?;
        let mut stages = Vec::with_capacity(group.len());
        for stage in group {
            // an adapter shares the base that is open already; a whole model is dropped after its turn
            let decoder = opened.clone().frozen(&stage.result)?;
            let gains = gains(&decoder, batches, &pairs, &reference, &mut progress)?;
            let answers = self.answers(&decoder, prompts, answer_tokens, &end_tokens, &mut progress)?;
            let divergence = sums(&decoder, batches, &answers, &mut progress)?
                .iter()
                .zip(sums(&start, batches, &answers, &mut progress)?)
                .map(|(policy, start)| policy - start)
                .sum::<f64>();
            let n = gains.len() as f64;
            let exact_match = exact_match(&decoder, &mut progress)?;
            stages.push(Compared {
                exact_match,
                name: stage.name().to_owned(),
                fingerprint: stage.fingerprint.clone(),
                kind: stage.settings.kind.name().to_owned(),
                reward_accuracy: gains.iter().filter(|gain| **gain > 0.0).count() as f64 / n,
                margin: gains.iter().sum::<f64>() / n,
                kl: divergence / answers.len() as f64,
                answer_length: mean_length(&answers),
                seconds: self.seconds(stage.name())?,
            });
        }
        drop(progress);
        phase.finish();
        Ok(Comparison {
            start: match &settings.policy {
                Source::Base => "the base model".to_owned(),
                Source::Stage(name) => format!("stage `{name}`"),
                Source::Folder(folder) => folder.display().to_string(),
            },
            key,
            pairs: pairs.len(),
            prompts: prompts.len(),
            answer_tokens,
            start_answer_length: mean_length(&own),
            start_exact_match,
            stages,
        })
    }

    /// Answers that a model samples to the prompts of rows, with the same random numbers for every model.
    fn answers(
        &self,
        decoder: &Decoder,
        rows: &[Example],
        answer_tokens: usize,
        end_tokens: &[u32],
        progress: &mut Progress,
    ) -> Result<Vec<Example>> {
        let stream = Stream::new(self.recipe.seed, Purpose::Rollout).name("comparison");
        let requests: Vec<Request<'_>> = rows
            .iter()
            .map(|row| Request { prompt: &row.prompt, stream: stream.key(row.row as u64) })
            .collect();
        let generation = Generation {
            choice: Choice::Sample(Sampling { temperature: 1.0, top_k: None, top_p: 1.0 }),
            max_new_tokens: answer_tokens,
            end_tokens,
            batch: BATCH,
            first_tokens: None,
        };
        let answers = generate(decoder, &requests, &generation, progress)?;
        let example = |(row, tokens): (&Example, Vec<u32>)| {
            let completion = Completion { trained: vec![true; tokens.len()], tokens };
            Example {
                row: row.row,
                prompt: row.prompt.clone(),
                completions: vec![completion],
                ..Example::default()
            }
        };
        Ok(rows.iter().zip(answers).map(example).collect())
    }
}

/// By how much more the chosen answer of each pair gained over the start than the rejected one, nats.
fn gains(
    decoder: &Decoder,
    batches: BatchPolicy,
    pairs: &[Example],
    reference: &Reference,
    progress: &mut Progress,
) -> Result<Vec<f64>> {
    let sums = sums(decoder, batches, pairs, progress)?;
    let pairs = sums.chunks(2).enumerate();
    pairs
        .map(|(row, policy)| {
            let start = reference.held_out_row(row)?;
            Ok((policy[0] - start[0]) - (policy[1] - start[1]))
        })
        .collect()
}

/// Summed log-probability of every answer of every example, nats.
fn sums(
    decoder: &Decoder,
    batches: BatchPolicy,
    examples: &[Example],
    progress: &mut Progress,
) -> Result<Vec<f64>> {
    let examples: Vec<&Example> = examples.iter().collect();
    let mut sums = Vec::new();
    for pass in batches.passes(&examples) {
        progress(pass.start as u64, examples.len() as u64)?;
        let (batch, found) = batches.log_probs(decoder, &examples[pass], TargetTokens::Completions, 1.0)?;
        let completions = batch.examples.iter().flat_map(|targets| &targets.completions);
        sums.extend(completions.map(|completion| found.log_prob[completion.clone()].iter().sum::<f64>()));
    }
    Ok(sums)
}

fn mean_length(answers: &[Example]) -> f64 {
    let tokens: usize = answers.iter().flat_map(|example| &example.completions).map(|b| b.tokens.len()).sum();
    tokens as f64 / answers.len().max(1) as f64
}
