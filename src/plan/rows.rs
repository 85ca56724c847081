//! Reads and tokenises the rows of a stage.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use anyhow::Result;

use crate::data::ending::Ending;
use crate::data::example::{Completion, Example, one_per_row};
use crate::data::mismatch::add_mismatched;
use crate::data::reason::Effect;
use crate::data::spec::DataSpec;
use crate::data::{Ledger, Lengths, Need, Row, Tokenized, Tokenizer, read_rows, split, tokenize};
use crate::kinds::{StageRows, StageSettings};
use crate::plan::counts::{Counts, TokenCounts, largest_window, longest};
use crate::plan::dropped;
use crate::template::ChatTemplate;
use crate::template::Message;

/// Questions that a stage is asked for sample answers: enough to see whether all answers are the same.
const QUESTIONS: usize = 8;
/// Tokens of an answer to one of them, at most.
pub const SAMPLE_TOKENS: usize = 64;

/// A stage's rows, ready for the engine.
#[derive(Debug)]
pub struct StageData {
    pub tokenised: StageRows,
    pub ledger: Ledger,
    /// What the first held-out rows (training rows if none are held out) ask.
    pub questions: Vec<String>,
    /// The right answers of each held-out row, where it names them; empty if no row does.
    pub accepted_answers: Vec<Vec<String>>,
    /// The token that ends the assistant's turn, as text; `None` if the template writes none.
    pub end_of_turn: Option<String>,
    /// Tokens of the largest optimiser step, or update of ppo.
    pub largest_window: u64,
    /// What a person should know before training on the rows.
    pub warnings: Vec<String>,
}

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
    let training = &stage.training;
    match stage.kind.facts().mismatched {
        true => add_mismatched(rows, training.batches.batch_size, training.max_length),
        false => rows.into_iter().map(|row| row.example).collect(),
    }
}

impl StageData {
    /// Reads the rows of `data` and tokenises them as `stage` needs them.
    pub fn read(
        stage: &StageSettings,
        data: &DataSpec,
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let mut ledger = Ledger::new();
        let need = stage.kind.facts().rows;
        let rows = read_rows(data, need, &mut ledger)?;
        let read_in_all = dropped::rows_read(&rows, &ledger);
        let (train_rows, held_out_rows) = split(rows, data.eval_fraction);
        let mut read = |rows: &[Row]| {
            let rows = tokenize(rows, template, tokenizer, lengths(stage), &mut ledger)?;
            anyhow::Ok(examples(stage, rows))
        };
        let (train, held_out) = (read(&train_rows)?, read(&held_out_rows)?);
        dropped::check_share(data, read_in_all, train.iter().chain(&held_out), &ledger)?;
        let questions = match held_out.is_empty() {
            true => questions(&train, &train_rows),
            false => questions(&held_out, &held_out_rows),
        };
        let accepted_answers = accepted_answers(&held_out, &held_out_rows);
        let ending = match need {
            // Prompts are answered, so it must be known how answers end.
            Need::Prompt => Ending::of(template, tokenizer)?,
            // A template that wants more of a conversation than one exchange renders the rows.
            _ => Ending::of(template, tokenizer).unwrap_or_default(),
        };
        let (end, end_tokens) = end_tokens(&train, ending.end, tokenizer);
        let end_of_turn = end.and_then(|end| tokenizer.token(end));
        let mut warnings: Vec<String> = ledger.warnings().collect();
        let unread = template.unread(template.kwargs());
        if !unread.is_empty() {
            let names = unread.join("`, `");
            warnings
                .push(format!("the template does not read `chat_template_kwargs` of `[model]`: `{names}`"));
        }
        let batch_size = stage.training.batches.batch_size;
        warnings.extend(stage.kind.row_warnings(&train, &held_out, batch_size));
        let largest_window = largest_window(stage, &train);
        Ok(Self {
            tokenised: StageRows { train, held_out, end_tokens, closing: ending.closing },
            ledger,
            questions,
            accepted_answers,
            end_of_turn,
            largest_window,
            warnings,
        })
    }

    pub fn counts(&self) -> Counts {
        let with = |effect| self.ledger.with_effect(effect).count() as u64;
        let reasons = self.ledger.counts().into_iter();
        let firsts = self.ledger.by_reason().into_iter();
        Counts {
            train: TokenCounts::of(&self.tokenised.train),
            held_out: TokenCounts::of(&self.tokenised.held_out),
            rows_cut: with(Effect::Cut),
            rows_dropped: with(Effect::Dropped) + with(Effect::Malformed),
            reasons: reasons.map(|(reason, rows)| (reason.to_owned(), rows as u64)).collect(),
            firsts: firsts.map(|reason| (reason.kind.to_owned(), reason.first.to_string())).collect(),
            longest_example: longest(self.tokenised.train.iter().chain(&self.tokenised.held_out)),
            largest_window: self.largest_window,
            warnings: self.warnings.clone(),
        }
    }
}

/// The right answers of each row, each row once; empty if no row names any.
fn accepted_answers(examples: &[Example], rows: &[Row]) -> Vec<Vec<String>> {
    let by_number: HashMap<usize, &Row> = rows.iter().map(|row| (row.origin.row, row)).collect();
    let of = |example: &Example| by_number.get(&example.row).map(|row| row.accepted_answers.clone());
    let all: Vec<Vec<String>> =
        one_per_row(examples).map(|example| of(example).unwrap_or_default()).collect();
    if all.iter().all(Vec::is_empty) { Vec::new() } else { all }
}

/// The last turn before the answer, of the rows of the first examples.
fn questions(examples: &[Example], rows: &[Row]) -> Vec<String> {
    let row = |example: &Example| rows.iter().find(|row| row.origin.row == example.row);
    let text = |row: &Row| row.question().last().map(Message::text).unwrap_or_default();
    one_per_row(examples).filter_map(row).take(QUESTIONS).map(text).collect()
}

/// The end of turn (the template's, else the special token that most answers end with), and all tokens
/// that end answers: that one, the special tokens that other answers end with, the tokenizer's own end
/// token.
fn end_tokens(examples: &[Example], ending: Option<u32>, tokenizer: &Tokenizer) -> (Option<u32>, Vec<u32>) {
    let last = |completion: &Completion| {
        let trained = completion.tokens.iter().zip(&completion.trained).filter(|(_, trained)| **trained);
        trained.map(|(token, _)| *token).rfind(|token| tokenizer.is_special(*token))
    };
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    for token in examples.iter().flat_map(|example| &example.completions).filter_map(last) {
        *seen.entry(token).or_default() += 1;
    }
    let most = || seen.iter().max_by_key(|(_, answers)| **answers).map(|(token, _)| *token);
    let end = ending.or_else(most);
    let others: BTreeSet<u32> = seen.keys().copied().chain(tokenizer.eos_id()).collect();
    let others = others.into_iter().filter(|other| Some(*other) != end);
    (end, end.into_iter().chain(others).collect())
}
