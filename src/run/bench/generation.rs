//! Times greedy answers to a stage's prompts.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{peak_memory, planned};
use crate::backend::Compute;
use crate::backend::gpu::explain;
use crate::model::generate::greedy;
use crate::model::policy::Models;
use crate::plan::resolve::Resolved;
use crate::report::console::Console;

/// What a bench of generation found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GenerationBench {
    pub stage: String,
    pub prompts: u64,
    pub prompt_tokens: u64,
    /// Tokens of all answers together.
    pub new_tokens: u64,
    /// From the prompts to the last token of the last answer.
    pub seconds: f64,
    /// From the prompts to the first token of each answer, in a run of its own.
    pub prefill_seconds: f64,
    pub new_tokens_per_second: f64,
    pub peak_bytes: u64,
}

/// Answers the prompts of the first `prompts` rows of `stage` with `new_tokens` tokens each, the most
/// probable ones, all at once and past any end token. The model is the base model. Errors if no row has
/// a prompt.
pub fn bench_generation(
    recipe: &Resolved,
    stage: &str,
    prompts: usize,
    new_tokens: usize,
    console: &Console,
) -> Result<GenerationBench> {
    let compute = Compute::open(recipe.model.device, recipe.model.dtype)?;
    let timed = timed(recipe, stage, prompts, new_tokens, &compute, console);
    timed.map_err(|error| explain(error, &compute.device))
}

fn timed(
    recipe: &Resolved,
    stage: &str,
    prompts: usize,
    new_tokens: usize,
    compute: &Compute,
    console: &Console,
) -> Result<GenerationBench> {
    let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (_, rows, model) = planned(recipe, stage, folder.path(), console)?;
    let prompts: Vec<Vec<u32>> = rows
        .stage_rows()?
        .train
        .into_iter()
        .map(|row| row.prompt)
        .filter(|p| !p.is_empty())
        .take(prompts)
        .collect();
    ensure!(!prompts.is_empty(), "no row of stage `{stage}` has a prompt to answer");
    let phase = console.phase("loading the model");
    let decoder = Models::at(compute).frozen(&model)?;
    phase.finish();
    let seconds = |tokens: usize| -> Result<f64> {
        let started = Instant::now();
        greedy(&decoder, &prompts, tokens, &[])?;
        Ok(started.elapsed().as_secs_f64())
    };
    seconds(1)?;
    let prefill_seconds = seconds(1)?;
    let all = seconds(new_tokens)?;
    let made = (prompts.len() * new_tokens) as u64;
    Ok(GenerationBench {
        stage: stage.to_owned(),
        prompts: prompts.len() as u64,
        prompt_tokens: prompts.iter().map(|p| p.len() as u64).sum(),
        new_tokens: made,
        seconds: all,
        prefill_seconds,
        new_tokens_per_second: made as f64 / all,
        peak_bytes: peak_memory(&compute.device)?,
    })
}
