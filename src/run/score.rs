//! Scores rows with a reward model: both answers of a pair, the one answer of any other row.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;

use crate::backend::compute::{DeviceSpec, Dtype};
use crate::batch::{BatchPolicy, TargetTokens};
use crate::data::example::Example;
use crate::data::format::RowShape;
use crate::data::source::{KINDS, for_each_row, is_known};
use crate::data::spec::{DataSpec, MAX_ROW_BYTES};
use crate::data::{Ledger, Lengths, Longer, Need, Tokenizer, read_rows, tokenize};
use crate::model::artifact::Artifact;
use crate::model::fault::Faults;
use crate::model::policy::Models;
use crate::model::pooling;
use crate::model::value_head::{TrainedPart, ValueHead};
use crate::plan::openable::{self, ModelUse, not_a_reward_model};
use crate::plan::vocabulary::{self, EmbeddingRows};
use crate::report::console::Console;
use crate::run::verify;
use crate::template::ChatTemplate;

/// The scores of one row.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScoredRow {
    /// Index of the row, 0-based, over all files.
    pub row: usize,
    #[serde(flatten)]
    pub scores: Scores,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scores {
    Pair { chosen: f64, rejected: f64 },
    Answer { score: f64 },
}

impl Scores {
    fn is_finite(self) -> bool {
        match self {
            Scores::Pair { chosen, rejected } => chosen.is_finite() && rejected.is_finite(),
            Scores::Answer { score } => score.is_finite(),
        }
    }
}

/// Scored rows, and those that could not be.
#[derive(Debug)]
pub struct ScoredRows {
    pub rows: Vec<ScoredRow>,
    pub ledger: Ledger,
}

/// A reward model and the rows that it is to score, all of them checked.
pub struct Scoring {
    artifact: Artifact,
    /// The file of the head.
    head: PathBuf,
    need: Need,
    examples: Vec<Example>,
    ledger: Ledger,
}

impl Scoring {
    /// Opens the reward model in the folder `model`, without its weights, and the rows of `files`. It is the
    /// result of an rm stage, a sequence classifier of transformers with one label, an adapter of one as PEFT
    /// saves it, or any model or adapter with a `value_head.safetensors`. Errors if it is none or is damaged, or
    /// if no row can be scored.
    pub fn prepare(model: &Path, files: &[PathBuf], console: &Console) -> Result<Self> {
        let artifact = Artifact::of_folder(model);
        verify::check([&artifact].into_iter())?;
        let opened = openable::check(&artifact, ModelUse::Scores)?;
        for warning in opened.warnings() {
            console.line(&format!("warning: `{}`: {warning}", model.display()));
        }
        let head = artifact.head.clone().with_context(|| not_a_reward_model(model))?;
        // PEFT saves an adapter without the tokenizer, unless it is asked to save it.
        let speaks =
            [model, &artifact.base].into_iter().find(|folder| folder.join("tokenizer.json").is_file());
        let speaks = speaks.unwrap_or(model);
        let template = ChatTemplate::for_model(None, Path::new("."), Some(speaks))?;
        let tokenizer = Tokenizer::from_folder(speaks)?;
        for file in files {
            ensure!(is_known(file), "`{}` is no data file: rows are read from {KINDS}", file.display());
        }
        let data = DataSpec { name: "rows".to_owned(), files: files.to_vec(), ..DataSpec::default() };
        let need = if are_pairs(files)? { Need::Preference } else { Need::Sft };
        let mut ledger = Ledger::new();
        let rows = read_rows(&data, need, &mut ledger)?;
        let lengths = Lengths { max_length: usize::MAX, longer: Longer::Drop, max_prompt_length: None };
        let tokenized = tokenize(&rows, &template, &tokenizer, lengths, &mut ledger)?;
        let examples: Vec<Example> = tokenized.into_iter().map(|tokenized| tokenized.example).collect();
        let table = EmbeddingRows { rows: opened.config.vocab_size, whose: "the model" };
        let (mut faults, _) = vocabulary::check(&tokenizer, &opened.config, &artifact.base);
        faults.extend(vocabulary::check_examples(examples.iter(), &tokenizer, table, "rows"));
        Faults::none_of(faults)?;
        Ok(Self { artifact, head, need, examples, ledger })
    }

    /// Scores the rows. Errors if a score is not finite.
    pub fn run(self, console: &Console) -> Result<ScoredRows> {
        let examples: Vec<&Example> = self.examples.iter().collect();
        let phase = console.phase("loading the model");
        let decoder = Models::default().frozen(&self.artifact)?;
        let hidden = decoder.config.hidden_size;
        let mut head = ValueHead::read(&self.head, hidden, TrainedPart::Nothing, decoder.device())?;
        head.passed_over = pooling::passed_over(&self.artifact, &decoder.config)?;
        phase.finish();
        let batches = BatchPolicy::for_model(&decoder.config, DeviceSpec::Cpu, Dtype::F32, false);
        let phase = console.phase("scoring");
        let mut progress = phase.progress(|| Ok(()));
        let mut scored = Vec::with_capacity(examples.len());
        for pass in batches.passes(&examples) {
            progress(pass.start as u64, examples.len() as u64)?;
            let examples = &examples[pass];
            let (batch, scores) =
                batches.scores(&decoder, &head, examples, TargetTokens::LastTokens(head.passed_over))?;
            for (example, targets) in examples.iter().zip(&batch.examples) {
                let scores = match (self.need, &scores[targets.all()]) {
                    (Need::Preference, &[chosen, rejected]) => Scores::Pair { chosen, rejected },
                    (_, &[score]) => Scores::Answer { score },
                    _ => bail!("row {} has {} answers", example.row, example.completions.len()),
                };
                ensure!(
                    scores.is_finite(),
                    "the model gives row {} no finite score: its weights are damaged, or it diverged in training",
                    example.row
                );
                scored.push(ScoredRow { row: example.row, scores });
            }
        }
        drop(progress);
        phase.finish();
        Ok(ScoredRows { rows: scored, ledger: self.ledger })
    }
}

/// Whether the first row is a pair.
fn are_pairs(files: &[PathBuf]) -> Result<bool> {
    let mut found = None;
    for file in files {
        for_each_row(file, MAX_ROW_BYTES, &mut |raw| {
            found =
                raw.object(file)?.ok().map(|row| RowShape::detect(&row, Need::Preference, None).is_some());
            Ok(ControlFlow::Break(()))
        })?;
        if found.is_some() {
            break;
        }
    }
    Ok(found.unwrap_or(false))
}
