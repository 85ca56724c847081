//! Reads and tokenises the rows of a stage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::data::ending::Ending;
use crate::data::example::{Completion, Example, LabelCounts};
use crate::data::mismatch::add_mismatched;
use crate::data::reason::Effect;
use crate::data::spec::DataSpec;
use crate::data::{Ledger, Lengths, Need, Reading, TokenRows, Tokenized, Tokenizer};
use crate::kinds::{StageRows, StageSettings};
use crate::plan::counts::{Counts, TokenCounts, largest_window};
use crate::plan::dropped;
use crate::template::ChatTemplate;

/// Tokens of a sample answer to a question, at most.
pub const SAMPLE_TOKENS: usize = 64;

/// A stage's rows, read and tokenised.
#[derive(Debug)]
pub struct StageData {
    rows: Arc<TokenRows>,
    /// The items of `rows` that are trained on, and those that are held out.
    train: Vec<u32>,
    held_out: Vec<u32>,
    mismatch: Option<Mismatch>,
    pub ledger: Ledger,
    /// What the first held-out rows (training rows if none are held out) ask.
    pub questions: Vec<String>,
    /// The right answers of each held-out row, where it names them; empty if no row does.
    pub accepted_answers: Vec<Vec<String>>,
    /// Tokens that end answers, the end of turn first.
    pub end_tokens: Vec<u32>,
    /// Tokens that the template writes after an answer's end token.
    closing: Vec<u32>,
    /// The token that ends the assistant's turn, as text; `None` if the template writes none.
    pub end_of_turn: Option<String>,
    /// The largest token id of the rows; `None` if they have no tokens.
    pub largest_token: Option<u32>,
    trained_counts: TokenCounts,
    held_out_counts: TokenCounts,
    longest_example: u64,
    /// Tokens of the largest optimiser step, or update of ppo.
    pub largest_window: u64,
    /// What a person should know before training on the rows.
    pub warnings: Vec<String>,
}

/// How KTO's loss gives each row another row's answer: see [`add_mismatched`].
#[derive(Debug, Clone, Copy)]
struct Mismatch {
    batch_size: usize,
    max_length: usize,
}

impl Mismatch {
    fn of(stage: &StageSettings) -> Option<Self> {
        let training = &stage.training;
        let mismatch = Self { batch_size: training.batches.batch_size, max_length: training.max_length };
        stage.kind.facts().mismatched.then_some(mismatch)
    }

    /// The number of rows that are read at a time: whole micro-batches.
    fn rows_at_a_time(mismatch: Option<Self>) -> usize {
        let group = mismatch.map_or(1, |mismatch| mismatch.batch_size.max(1));
        group.saturating_mul(ROWS_AT_A_TIME.div_ceil(group))
    }
}

/// Rows that are taken from the store at a time, about.
const ROWS_AT_A_TIME: usize = 1024;

/// The bounds on a stage's rows.
pub fn lengths(stage: &StageSettings) -> Lengths {
    let facts = stage.kind.facts();
    // A prompt must leave room for an answer: where it is answered here, for a whole response.
    let response = facts.rollouts.map_or(0, |rollouts| rollouts.response_length.saturating_sub(1));
    Lengths {
        max_length: stage.training.max_length.saturating_sub(response),
        max_prompt_length: stage.training.max_prompt_length,
        longer: facts.longer,
    }
}

/// The examples of tokenised rows, in order; with KTO's loss each with another row's answer.
pub fn examples(stage: &StageSettings, rows: Vec<Tokenized>) -> Vec<Example> {
    let rows = rows.into_iter().map(|row| (row.example, row.uncut));
    match Mismatch::of(stage) {
        Some(Mismatch { batch_size, max_length }) => add_mismatched(rows.collect(), batch_size, max_length),
        None => rows.map(|(example, _)| example).collect(),
    }
}

/// What is known of a part of the rows once all its tokens were looked at.
#[derive(Default)]
struct PartSummary {
    counts: TokenCounts,
    labels: LabelCounts,
    /// Tokens of each example, shared.
    lengths: Vec<u32>,
    largest_token: Option<u32>,
    /// Special tokens that end answers, and how many.
    ends: BTreeMap<u32, usize>,
}

impl PartSummary {
    fn of(
        rows: &TokenRows,
        items: &[u32],
        mismatch: Option<Mismatch>,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let mut summary = Self::default();
        for_each_example(rows, items, mismatch, |example| summary.add(&example, tokenizer))?;
        Ok(summary)
    }

    fn add(&mut self, example: &Example, tokenizer: &Tokenizer) {
        self.counts.add(example);
        self.labels.add(example.label);
        self.lengths.push(example.tokens_shared() as u32);
        let answers = example.completions.iter().flat_map(|completion| &completion.tokens);
        self.largest_token = self.largest_token.max(answers.chain(&example.prompt).copied().max());
        let last = |completion: &Completion| {
            let trained = completion.tokens.iter().zip(&completion.trained).filter(|(_, trained)| **trained);
            trained.map(|(token, _)| *token).rfind(|token| tokenizer.is_special(*token))
        };
        for token in example.completions.iter().filter_map(last) {
            *self.ends.entry(token).or_default() += 1;
        }
    }
}

/// Calls `f` with the examples of tokenised rows, in order; with KTO's loss each with another row's answer.
fn for_each_example(
    rows: &TokenRows,
    items: &[u32],
    mismatch: Option<Mismatch>,
    mut f: impl FnMut(Example),
) -> Result<()> {
    let mut reader = rows.reader();
    for group in items.chunks(Mismatch::rows_at_a_time(mismatch)) {
        let mut read = group.iter().map(|&item| reader.row(item));
        match mismatch {
            None => read.try_for_each(|row| row.map(|(example, _)| f(example)))?,
            Some(Mismatch { batch_size, max_length }) => {
                let rows = read.collect::<Result<Vec<_>>>()?;
                add_mismatched(rows, batch_size, max_length).into_iter().for_each(&mut f);
            }
        }
    }
    Ok(())
}

impl StageData {
    /// Reads the rows of `data` and tokenises them as `stage` needs them.
    pub fn read(
        stage: &StageSettings,
        data: &DataSpec,
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        Self::of(stage, data, template, tokenizer, |reading| {
            reading.rows(unnamed_file, &|_| Ok(())).map(Arc::new)
        })
    }

    /// As [`StageData::read`], with tokens from `rows`.
    pub fn of(
        stage: &StageSettings,
        data: &DataSpec,
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
        rows: impl FnOnce(&Reading<'_>) -> Result<Arc<TokenRows>>,
    ) -> Result<Self> {
        let need = stage.kind.facts().rows;
        let rows = rows(&Reading { data, need, template, tokenizer, lengths: lengths(stage) })?;
        let mut ledger = rows.refused.clone();
        let (train, held_out) = rows.parts(data.eval_fraction, need == (Need::Unpaired { unpair: true }));
        let train = rows.account(&train, template, &mut ledger)?;
        let held_out = rows.account(&held_out, template, &mut ledger)?;
        let kept = rows.rows_of(train.iter().chain(&held_out));
        dropped::check_share(data, rows.rows_read(), kept, &ledger)?;
        let mismatch = Mismatch::of(stage);
        let summary = |items: &[u32]| PartSummary::of(&rows, items, mismatch, tokenizer);
        let (trained, held) = (summary(&train)?, summary(&held_out)?);
        let questions = rows.questions(if held_out.is_empty() { &train } else { &held_out });
        let ending = match need {
            // Prompts are answered, so it must be known how answers end.
            Need::Prompt => Ending::of(template, tokenizer)?,
            // A template that wants more of a conversation than one exchange renders the rows.
            _ => Ending::of(template, tokenizer).unwrap_or_default(),
        };
        let (end, end_tokens) = end_tokens(&trained.ends, ending.end, tokenizer);
        let mut warnings: Vec<String> = ledger.warnings().collect();
        let unread = template.unread(template.kwargs());
        if !unread.is_empty() {
            let names = unread.join("`, `");
            warnings
                .push(format!("the template does not read `chat_template_kwargs` of `[model]`: `{names}`"));
        }
        let batch_size = stage.training.batches.batch_size;
        warnings.extend(stage.kind.row_warnings(trained.labels, held.labels, batch_size));
        let longest = trained.lengths.iter().chain(&held.lengths).max();
        Ok(Self {
            accepted_answers: rows.accepted_answers(&held_out),
            mismatch,
            ledger,
            questions,
            end_tokens,
            closing: ending.closing,
            end_of_turn: end.and_then(|end| tokenizer.token(end)),
            largest_token: trained.largest_token.max(held.largest_token),
            trained_counts: trained.counts,
            held_out_counts: held.counts,
            longest_example: longest.copied().unwrap_or(0).into(),
            largest_window: largest_window(stage, &trained.lengths),
            warnings,
            rows,
            train,
            held_out,
        })
    }

    /// The rows, ready for the engine.
    pub fn stage_rows(&self) -> Result<StageRows> {
        let examples = |items: &[u32]| {
            let mut examples = Vec::with_capacity(items.len());
            for_each_example(&self.rows, items, self.mismatch, |example| examples.push(example))?;
            anyhow::Ok(examples)
        };
        Ok(StageRows {
            train: examples(&self.train)?,
            held_out: examples(&self.held_out)?,
            end_tokens: self.end_tokens.clone(),
            closing: self.closing.clone(),
        })
    }

    pub fn counts(&self) -> Counts {
        let with = |effect| self.ledger.with_effect(effect).count() as u64;
        let reasons = self.ledger.counts().into_iter();
        let firsts = self.ledger.by_reason().into_iter();
        Counts {
            train: self.trained_counts,
            held_out: self.held_out_counts,
            rows_cut: with(Effect::Cut),
            rows_dropped: with(Effect::Dropped) + with(Effect::Malformed),
            reasons: reasons.map(|(reason, rows)| (reason.to_owned(), rows as u64)).collect(),
            firsts: firsts.map(|reason| (reason.kind.to_owned(), reason.first.to_string())).collect(),
            longest_example: self.longest_example,
            largest_window: self.largest_window,
            warnings: self.warnings.clone(),
        }
    }
}

/// A file that is gone as soon as nothing reads it.
fn unnamed_file() -> Result<File> {
    tempfile::tempfile().context("cannot create a temporary file for tokenised rows")
}

/// The end of turn (the template's, else the special token that most answers end with), and all tokens
/// that end answers: that one, the special tokens that other answers end with, the tokenizer's own end
/// token.
fn end_tokens(
    seen: &BTreeMap<u32, usize>,
    ending: Option<u32>,
    tokenizer: &Tokenizer,
) -> (Option<u32>, Vec<u32>) {
    let most = || seen.iter().max_by_key(|(_, answers)| **answers).map(|(token, _)| *token);
    let end = ending.or_else(most);
    let others: BTreeSet<u32> = seen.keys().copied().chain(tokenizer.eos_id()).collect();
    let others = others.into_iter().filter(|other| Some(*other) != end);
    (end, end.into_iter().chain(others).collect())
}
