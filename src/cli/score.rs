//! `runner score`: what a reward model makes of rows.

use std::io::{Write, stdout};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::usage_error::wrong_input;
use crate::report::console::Console;
use crate::report::number;
use crate::run::score::{ScoredRow, Scores, Scoring};
use crate::terminal::tell;

/// Scores rows with a reward model: a JSON object a row, and a summary on standard error.
#[derive(Debug, Clone, Args)]
pub struct ScoreArgs {
    /// The result of a rm stage, e.g. `runs/NAME/rm/model`, any model or PEFT adapter with a
    /// `value_head.safetensors`, or a sequence classifier with one label, whole or as PEFT adapter.
    pub model: PathBuf,
    /// Files of rows: pairs have both answers scored, others their one answer.
    #[arg(required = true)]
    pub rows: Vec<PathBuf>,
}

/// Errors if the folder is no reward model or the files have no row to score.
pub fn run(args: &ScoreArgs) -> Result<()> {
    let console = Console::stderr();
    let scoring = Scoring::prepare(&args.model, &args.rows, &console).map_err(wrong_input)?;
    let scored = scoring.run(&console)?;
    let mut out = stdout().lock();
    for row in &scored.rows {
        writeln!(out, "{}", serde_json::to_string(row)?)?;
    }
    out.flush()?;
    for (reason, rows) in scored.ledger.counts() {
        tell(&format!("{rows} rows not scored: {reason}"));
    }
    tell(&summary(&scored.rows));
    Ok(())
}

fn summary(rows: &[ScoredRow]) -> String {
    let n = rows.len() as f64;
    let margins: Vec<f64> = rows
        .iter()
        .filter_map(|row| match row.scores {
            Scores::Pair { chosen, rejected } => Some(chosen - rejected),
            Scores::Answer { .. } => None,
        })
        .collect();
    if margins.is_empty() {
        let mean = rows.iter().map(|row| if let Scores::Answer { score } = row.scores { score } else { 0.0 });
        return format!("{} answers: mean score {}", rows.len(), number::metric(mean.sum::<f64>() / n));
    }
    let right = margins.iter().filter(|margin| **margin > 0.0).count() as f64;
    format!(
        "{} pairs: accuracy {}, mean margin {}",
        rows.len(),
        number::metric(right / n),
        number::metric(margins.iter().sum::<f64>() / n)
    )
}
