//! Reads and tokenises the rows of a stage.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::data::example::{Branch, Family};
use crate::data::reason::Effect;
use crate::data::spec::DataSpec;
use crate::data::{Ledger, Lengths, Message, Need, Row, Tokenizer, read_rows, split, tokenize};
use crate::plan::counts::{Counts, Tokens, longest};
use crate::plan::settings::{KindSettings, StageSettings};
use crate::template::ChatTemplate;

/// Questions that a stage is asked before and after training.
const QUESTIONS: usize = 3;

/// A stage's rows, ready for the engine.
#[derive(Debug)]
pub struct Rows {
    pub train: Vec<Family>,
    pub held_out: Vec<Family>,
    pub ledger: Ledger,
    /// What the first held-out rows (training rows if none are held out) ask.
    pub questions: Vec<String>,
    /// Tokens that end answers.
    pub end_tokens: Vec<u32>,
    /// What the template writes after an answer's end token.
    pub closing: Vec<u32>,
}

/// What a kind needs of a row.
pub fn need(kind: &KindSettings) -> Need {
    match kind {
        KindSettings::Sft => Need::Sft,
        KindSettings::Kto(kto) => Need::Unpaired { unpair: kto.unpair },
        KindSettings::Ppo(_) => Need::Prompt,
        KindSettings::Rm(_)
        | KindSettings::Dpo(_)
        | KindSettings::Cpo(_)
        | KindSettings::Orpo(_)
        | KindSettings::Simpo(_) => Need::Preference,
    }
}

impl Rows {
    /// Reads the rows of `data` and tokenises them as `stage` needs them.
    pub fn read(
        stage: &StageSettings,
        data: &DataSpec,
        template: &ChatTemplate,
        tokenizer: &Tokenizer,
    ) -> Result<Self> {
        let mut ledger = Ledger::new();
        let rows = read_rows(data, need(&stage.kind), &mut ledger)?;
        let (train_rows, held_out_rows) = split(rows, data.eval_fraction);
        let lengths = Lengths {
            max_length: stage.training.max_length,
            max_prompt_length: stage.training.max_prompt_length,
        };
        let train = tokenize(&train_rows, template, tokenizer, lengths, &mut ledger)?;
        let held_out = tokenize(&held_out_rows, template, tokenizer, lengths, &mut ledger)?;
        let questions = match held_out.is_empty() {
            true => questions(&train, &train_rows),
            false => questions(&held_out, &held_out_rows),
        };
        let end_tokens = end_tokens(&train, tokenizer);
        Ok(Self { train, held_out, ledger, questions, end_tokens, closing: Vec::new() })
    }

    pub fn counts(&self) -> Counts {
        let with = |effect| self.ledger.with_effect(effect).count() as u64;
        let reasons = self.ledger.counts().into_iter();
        Counts {
            train: Tokens::of(&self.train),
            held_out: Tokens::of(&self.held_out),
            rows_cut: with(Effect::Cut),
            rows_dropped: with(Effect::Dropped) + with(Effect::Malformed),
            reasons: reasons.map(|(reason, rows)| (reason.to_owned(), rows as u64)).collect(),
            longest_family: longest(self.train.iter().chain(&self.held_out)),
        }
    }
}

/// What the rows of the first families say last before the answer.
fn questions(families: &[Family], rows: &[Row]) -> Vec<String> {
    let row = |family: &Family| rows.iter().find(|row| row.origin.row == family.row);
    let text = |row: &Row| row.question().last().map(Message::text).unwrap_or_default();
    families.iter().take(QUESTIONS).filter_map(row).map(text).collect()
}

/// The special tokens that answers end with, and the tokenizer's own end token.
fn end_tokens(families: &[Family], tokenizer: &Tokenizer) -> Vec<u32> {
    let last = |branch: &Branch| {
        let trained = branch.tokens.iter().zip(&branch.trained).filter(|(_, trained)| **trained);
        trained.map(|(token, _)| *token).rfind(|token| tokenizer.is_special(*token))
    };
    let seen = families.iter().flat_map(|family| &family.branches).filter_map(last);
    let ends: BTreeSet<u32> = seen.chain(tokenizer.eos_id()).collect();
    ends.into_iter().collect()
}
