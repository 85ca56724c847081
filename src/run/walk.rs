//! A whole run: takes the run's folder, makes the base model, and goes through the stages.

use std::path::Path;

use anyhow::{Context, Result, anyhow};

use crate::backend::Compute;
use crate::backend::gpu::explain;
use crate::kinds::{self, StageInputs};
use crate::model::scratch;
use crate::plan::base::Base;
use crate::plan::capacity;
use crate::plan::document::{Plan, StagePlan};
use crate::plan::folder::RunFolder;
use crate::plan::planner::{self, Options};
use crate::plan::resolve::Resolved;
use crate::plan::rows::StageData;
use crate::plan::staleness::Status;
use crate::report::comparison::Comparison;
use crate::report::console::Console;
use crate::report::page::page;
use crate::report::plan_table;
use crate::report::rows;
use crate::report::stage_report::StageReport;
use crate::run::compare::Comparing;
use crate::run::ends::AnswerEnds;
use crate::run::interrupt::Interrupt;
use crate::run::stage::{claim, finish, place, recover};
use crate::run::train::{Questions, Training};
use crate::run::verify::check_read;
use crate::run::{atomic, lockfile};

/// Reasons for cutting and dropping rows that are printed before a stage, at most.
const REASONS: usize = 3;

/// What a run did.
#[derive(Debug)]
pub struct Walked {
    pub plan: Plan,
    /// The reports of all stages; empty if every result was there and nothing ran.
    pub reports: Vec<StageReport>,
    /// Stages that start from one model, compared.
    pub comparisons: Vec<Comparison>,
}

/// Runs a recipe. Errors with [`Interrupted`](crate::run::interrupt::Interrupted) if asked to stop,
/// and with [`Diagnostics`](crate::recipe::diagnostics::Diagnostics) if the recipe is wrong.
pub fn walk(
    recipe: &Resolved,
    options: &Options,
    interrupt: &Interrupt,
    console: &Console,
) -> Result<Walked> {
    recipe.check_weights()?;
    let folder = RunFolder::of(&recipe.name);
    let _in_use = lockfile::lock(&folder)?;
    for stage in &recipe.stages {
        recover(&folder, &stage.name)?;
    }
    for leftovers in [&folder.root, &folder.references()] {
        atomic::remove_leftovers(leftovers)?;
    }
    let mut planned = planner::plan(recipe, options, &console.watch(|| interrupt.check()))?;
    let plan = planned.plan;
    for warning in &plan.base.warnings {
        console.line(&format!("warning: {warning}"));
    }
    // A run that changes nothing writes nothing.
    if !planned.rows.is_empty() {
        write_records(recipe, &plan, &folder)?;
    }
    for stage in plan.stages.iter().filter(|stage| stage.status != Status::Finished) {
        let too_large = capacity::too_large(stage, plan.base.device).filter(|found| found.certain);
        too_large.map_or(Ok(()), |found| Err(anyhow!(found.message)))?;
    }
    make_base(&planned.base, console)?;
    let compute = Compute::open(recipe.model.device, recipe.model.dtype)?;
    if options.fresh && folder.references().exists() {
        std::fs::remove_dir_all(folder.references())
            .with_context(|| format!("cannot remove `{}`", folder.references().display()))?;
    }
    let mut ran = 0;
    let had_report = folder.report().exists();
    for stage in &plan.stages {
        console.set_stage(stage.name());
        // Rows of a finished stage are read only where their counts were not known.
        let rows = planned.rows.shift_remove(stage.name());
        if let (false, Some(rows)) = (stage.status == Status::Finished, rows) {
            run_stage(stage, rows, &planned.base, (&folder, &compute), interrupt, console)
                .map_err(|error| explain(error, &compute.device))?;
            ran += 1;
            atomic::write_file(&folder.report(), page(recipe, &plan, &folder)?.as_bytes())?;
        }
    }
    let base = &planned.base;
    let comparing =
        Comparing { recipe, plan: &plan, base, folder: &folder, compute: &compute, interrupt, console };
    let (comparisons, compared) = comparing.run().map_err(|error| explain(error, &compute.device))?;
    if compared {
        atomic::write_file(&folder.report(), page(recipe, &plan, &folder)?.as_bytes())?;
        ran += 1;
    }
    if ran == 0 && !had_report {
        atomic::write_file(&folder.report(), page(recipe, &plan, &folder)?.as_bytes())?;
    }
    let told = plan.stages.iter().filter(|_| ran > 0);
    let reports = told.map(|stage| StageReport::read(stage, &folder)).collect::<Result<_>>()?;
    Ok(Walked { plan, reports, comparisons })
}

/// Writes copies of recipe and plan, and `recipe.lock`: what ran, and from what.
fn write_records(recipe: &Resolved, plan: &Plan, folder: &RunFolder) -> Result<()> {
    let mut source = recipe.source.clone();
    for text in &recipe.overrides {
        source.push_str(&format!("\n# --set {text}"));
    }
    let plan_text = serde_json::to_string_pretty(plan).context("cannot write the plan")?;
    let records = [
        (folder.recipe(), source),
        (folder.plan(), plan_text + "\n"),
        (folder.recipe_lock(), lockfile::recipe_lock(plan)?),
    ];
    for (path, text) in records {
        atomic::write_file(&path, text.as_bytes())?;
    }
    Ok(())
}

/// Makes the model from random weights, if the recipe wants one that is not there yet.
fn make_base(base: &Base, console: &Console) -> Result<()> {
    let Some(made) = base.scratch.as_ref().filter(|scratch| scratch.is_unmade()) else { return Ok(()) };
    console.line(&format!("making a model from random weights in {}", base.artifact.base.display()));
    atomic::write_folder(&base.artifact.base, |folder| {
        made.write_tokenizer(folder)?;
        scratch::create(&made.spec, made.vocabulary, made.seed, made.dtype, folder)?;
        made.write_record(folder)
    })
}

fn run_stage(
    plan: &StagePlan,
    read: StageData,
    base: &Base,
    (folder, compute): (&RunFolder, &Compute),
    interrupt: &Interrupt,
    console: &Console,
) -> Result<()> {
    let own = folder.stage(plan.name());
    check_read(plan)?;
    if plan.status != Status::New {
        console.line(&plan_table::status(&plan.status));
    }
    console.line(&rows::kept(&plan.counts));
    for reason in rows::reasons(&plan.counts, REASONS) {
        console.line(&format!("  {reason}"));
    }
    if !plan.counts.reasons.is_empty() {
        console.line(&format!("  row by row: {}", own.ledger().display()));
    }
    for warning in &plan.counts.warnings {
        console.line(&format!("warning: {warning}"));
    }
    let phase = console.phase("loading the model");
    let stage_rows = read.stage_rows()?;
    let decode = |tokens: &[u32]| base.tokenizer.decode_plain(tokens);
    let questions = Questions {
        texts: read.questions,
        sample_tokens: plan.sample_tokens,
        accepted_answers: read.accepted_answers,
        end_tokens: stage_rows.end_tokens.clone(),
        decode: &decode,
    };
    let ends = AnswerEnds { tokens: stage_rows.end_tokens.clone(), end_of_turn: read.end_of_turn };
    let mut stage = kinds::open(StageInputs {
        settings: &plan.settings,
        compute,
        policy: plan.policy.clone(),
        reference: plan.reference.clone(),
        reward: plan.reward.clone(),
        rows: stage_rows,
        batches: plan.batches,
    })?;
    phase.finish();
    // Only now, with everything read and opened, does an earlier result give way.
    let work = claim(folder, plan.name(), &plan.inputs, &plan.status)?;
    if own.model().exists() {
        console
            .line(&format!("the earlier result stays in {} until this one is done", own.model().display()));
    }
    let mut ledger = Vec::new();
    read.ledger.write_jsonl(&mut ledger)?;
    atomic::write_file(&work.ledger(), &ledger)?;
    let training = Training {
        settings: &plan.settings.training,
        folder: &work,
        fingerprint: &plan.fingerprint,
        references: &folder.references(),
        interrupt,
        console,
        questions: &questions,
    };
    // The template that the rows were rendered with, and how their answers end.
    let complete = |result: &Path| {
        base.template.write(result)?;
        ends.write(&plan.policy.base, result)
    };
    finish(stage.as_mut(), &training, plan.work.training, complete)
        .with_context(|| format!("stage `{}`", plan.name()))?;
    place(folder, plan.name(), &work)?;
    console.line(&format!("done: {}", own.model().display()));
    Ok(())
}
