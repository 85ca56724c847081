//! `comparison.json`: stages that start from one model, measured alike on one set of held-out pairs.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use crate::plan::folder::RunFolder;
use crate::plan::staleness;
use crate::report::columns::columns;
use crate::report::number;

/// Stages that start from one model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// What the stages start from.
    pub start: String,
    /// Digest of everything that the figures depend on.
    pub key: String,
    /// Held-out pairs, and prompts that were answered.
    pub pairs: usize,
    pub prompts: usize,
    /// Tokens of an answer at most.
    pub answer_tokens: usize,
    /// Tokens of the start's own answers, on average.
    pub start_answer_length: f64,
    /// Share of the pairs' questions that the start answers right, where the rows say what is.
    #[serde(default)]
    pub start_exact_match: Option<f64>,
    pub stages: Vec<Compared>,
}

/// One stage's result against the start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Compared {
    pub name: String,
    /// The fingerprint of the stage when it was compared.
    pub fingerprint: String,
    pub kind: String,
    /// Share of pairs whose chosen answer gained more log-probability than the rejected one.
    pub reward_accuracy: f64,
    /// By how much more, in nats.
    pub margin: f64,
    /// KL divergence from the start in nats per answer, over the stage's own sampled answers.
    pub kl: f64,
    /// Tokens of those answers, on average.
    pub answer_length: f64,
    /// Share of the pairs' questions that are answered right, where the rows say what is.
    #[serde(default)]
    pub exact_match: Option<f64>,
    /// Seconds of training.
    pub seconds: f64,
}

/// The comparisons that earlier runs made, of results that have not changed since.
pub fn read(folder: &RunFolder) -> Vec<Comparison> {
    let text = std::fs::read(folder.comparison()).ok();
    let mut found: Vec<Comparison> =
        text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let is_there = |stage: &Compared| {
        let own = folder.stage(&stage.name);
        let made_from = staleness::recorded(&own).and_then(|inputs| inputs.fingerprint().ok());
        own.model().exists() && made_from.as_ref() == Some(&stage.fingerprint)
    };
    found.retain(|comparison| comparison.stages.iter().all(is_there));
    found
}

/// The comparisons as tables.
pub fn table(comparisons: &[Comparison]) -> String {
    let mut text = String::new();
    for comparison in comparisons {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", title(comparison));
        let rows: Vec<Vec<String>> = std::iter::once(heading()).chain(rows(comparison)).collect();
        for line in columns(&rows) {
            let _ = writeln!(text, "  {line}");
        }
    }
    text.trim_end().to_owned()
}

/// What is compared, in a sentence.
pub fn title(comparison: &Comparison) -> String {
    format!(
        "from {}, on {} held-out pairs and sampled answers to {} of their prompts, of {} tokens at most",
        comparison.start, comparison.pairs, comparison.prompts, comparison.answer_tokens
    )
}

pub fn heading() -> Vec<String> {
    ["", "kind", "reward accuracy", "margin", "KL to the start", "answer length", "exact match", "training"]
        .map(str::to_owned)
        .to_vec()
}

/// The start, then one row per stage.
pub fn rows(comparison: &Comparison) -> impl Iterator<Item = Vec<String>> {
    let tokens = |length: f64| format!("{length:.1} tokens");
    let share = |share: Option<f64>| share.map(number::metric).unwrap_or_default();
    let start_share = share(comparison.start_exact_match);
    let start = ["start", "", "", "", "", &tokens(comparison.start_answer_length), &start_share, ""];
    let stage = move |stage: &Compared| {
        vec![
            stage.name.clone(),
            stage.kind.clone(),
            number::metric(stage.reward_accuracy),
            format!("{} nats", number::metric(stage.margin)),
            format!("{} nats", number::metric(stage.kl)),
            tokens(stage.answer_length),
            share(stage.exact_match),
            number::duration(stage.seconds),
        ]
    };
    std::iter::once(start.map(str::to_owned).to_vec()).chain(comparison.stages.iter().map(stage))
}
