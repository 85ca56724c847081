//! Reads and tokenises the rows of a stage.

use anyhow::Result;

use crate::data::example::Family;
use crate::data::reason::Effect;
use crate::data::spec::DataSpec;
use crate::data::{Ledger, Lengths, Need, Tokenizer, read_rows, split, tokenize};
use crate::plan::counts::{Counts, Tokens, longest};
use crate::plan::settings::{KindSettings, StageSettings};
use crate::template::ChatTemplate;

/// A stage's rows, ready for the engine.
#[derive(Debug)]
pub struct Rows {
    pub train: Vec<Family>,
    pub held_out: Vec<Family>,
    pub ledger: Ledger,
}

/// What a kind needs of a row.
pub fn need(kind: &KindSettings) -> Need {
    match kind {
        KindSettings::Sft => Need::Sft,
        KindSettings::Dpo(_) => Need::Preference,
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
        let (train, held_out) = split(rows, data.eval_fraction);
        let lengths = Lengths {
            max_length: stage.training.max_length,
            max_prompt_length: stage.training.max_prompt_length,
        };
        let train = tokenize(&train, template, tokenizer, lengths, &mut ledger)?;
        let held_out = tokenize(&held_out, template, tokenizer, lengths, &mut ledger)?;
        Ok(Self { train, held_out, ledger })
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
