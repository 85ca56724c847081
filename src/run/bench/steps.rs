//! Times a stage's steps.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde::Serialize;

use super::matrix_peak::matrix_peak;
use super::{peak_memory, planned};
use crate::backend::Compute;
use crate::backend::gpu::explain;
use crate::backend::memory::reset_device_peak;
use crate::backend::profile::{self, Op};
use crate::kinds::{self, StageInputs, StageRows};
use crate::plan::resolve::Resolved;
use crate::report::console::Console;
use crate::train::metric::GRAD_NORM;

/// Steps after the timed ones, to see what their time goes to.
const PARTS_STEPS: u64 = 2;

/// What a bench found. The work before the first step (the reference's log-probs) is spread over all rows:
/// each timed row carries its share.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepsBench {
    pub stage: String,
    pub device: String,
    pub dtype: &'static str,
    /// Steps timed, and those before them.
    pub steps: u64,
    pub warmup_steps: u64,
    pub rows: u64,
    pub useful_tokens: u64,
    /// Seconds of the timed steps alone.
    pub step_seconds: f64,
    /// The timed rows' share of the work before the first step.
    pub prepare_seconds: f64,
    pub rows_per_second: f64,
    pub useful_tokens_per_second: f64,
    pub gflops: f64,
    /// The largest rate of matrix products of `dtype` measured here just before.
    pub peak_gflops: f64,
    pub peak_bytes: u64,
    /// Seconds of a step by operation, measured on steps after the timed ones, which measuring slows down.
    pub parts: IndexMap<&'static str, f64>,
    /// The gradient norm of the last step: zero gradients would be fast.
    pub grad_norm: f64,
}

/// Runs `warmup + steps` steps of `stage` from the base model and times the last `steps`.
pub fn bench_steps(
    recipe: &Resolved,
    stage: &str,
    steps: u64,
    warmup: u64,
    console: &Console,
) -> Result<StepsBench> {
    let here = Compute::open(recipe.model.device, recipe.model.dtype)?;
    let timed = timed(recipe, stage, steps, warmup, &here, console);
    timed.map_err(|error| explain(error, &here.device))
}

fn timed(
    recipe: &Resolved,
    stage: &str,
    steps: u64,
    warmup: u64,
    here: &Compute,
    console: &Console,
) -> Result<StepsBench> {
    let mut recipe = recipe.clone();
    let Some(settings) = recipe.stages.iter_mut().find(|s| s.name == stage) else {
        bail!("the recipe has no stage `{stage}`")
    };
    settings.training.batches.max_steps = Some(warmup + steps + PARTS_STEPS);
    let scratch_folder = tempfile::tempdir().context("cannot make a temporary folder")?;
    let (plan, rows, policy) = planned(&recipe, stage, scratch_folder.path(), console)?;
    let peak_gflops = matrix_peak(here)?;
    reset_device_peak(&here.device)?;

    let phase = console.phase("loading the model");
    let mut run = kinds::open(StageInputs {
        settings: &plan.settings,
        compute: here,
        policy,
        reference: None,
        reward: None,
        rows: StageRows { held_out: Vec::new(), ..rows.stage_rows()? },
        batches: plan.batches,
    })?;
    phase.finish();
    let started = Instant::now();
    run.prepare(scratch_folder.path(), &mut |_, _| Ok(()))?;
    let prepared = started.elapsed().as_secs_f64();

    let (mut all_rows, mut rows, mut tokens, mut seconds, mut grad_norm) = (0, 0, 0, 0.0, f64::NAN);
    for step in 0..warmup + steps {
        let started = Instant::now();
        let report = run.step(step, &mut |_, _| Ok(()))?;
        all_rows += report.rows;
        if step >= warmup {
            seconds += started.elapsed().as_secs_f64();
            rows += report.rows;
            tokens += report.useful_tokens;
        }
        grad_norm = report.metrics.get(GRAD_NORM.name).copied().unwrap_or(f64::NAN);
    }
    let (looked_at, spent) = profile::measure(&here.device, || {
        (warmup + steps..warmup + steps + PARTS_STEPS)
            .map(|step| Ok(run.step(step, &mut |_, _| Ok(()))?.rows))
            .sum::<Result<u64>>()
    })?;
    all_rows += looked_at;
    let parts = Op::ALL.map(|part| (part.name(), spent.of(part) / PARTS_STEPS as f64));
    let share = rows as f64 / all_rows.max(1) as f64;
    let whole = seconds + prepared * share;
    let train = &plan.counts.train;
    let per_token = plan.work.training / (plan.steps.epochs * train.shared.max(1) as f64)
        + plan.work.reference / (train.shared + plan.counts.held_out.shared).max(1) as f64;
    Ok(StepsBench {
        stage: stage.to_owned(),
        device: recipe.model.device.to_string(),
        dtype: recipe.model.dtype.name(),
        steps,
        warmup_steps: warmup,
        rows,
        useful_tokens: tokens,
        step_seconds: seconds,
        prepare_seconds: prepared * share,
        rows_per_second: rows as f64 / whole,
        useful_tokens_per_second: tokens as f64 / whole,
        gflops: per_token * tokens as f64 / whole / 1e9,
        peak_gflops,
        peak_bytes: peak_memory(&here.device)?,
        parts: parts.into_iter().collect(),
        grad_norm,
    })
}
