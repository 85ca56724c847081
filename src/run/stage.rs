//! Runs one stage: takes its folder, trains, and puts the result in place.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::plan::fingerprint::Inputs;
use crate::plan::finished::Summary;
use crate::plan::folder::{RunFolder, StageFolder};
use crate::plan::record::FilesRecord;
use crate::plan::staleness::Status;
use crate::report::collapse::CollapseWatch;
use crate::report::jsonl;
use crate::report::metrics::MetricsRow;
use crate::run::atomic;
use crate::run::train::{Training, train};
use crate::train::StageRun;

/// Takes a folder to do a stage in: a half-finished one goes on, and what else is unfinished is replaced. A
/// finished result stays in its place until [`place`] puts the next one there.
pub fn claim(run: &RunFolder, name: &str, inputs: &Inputs, status: &Status) -> Result<StageFolder> {
    let (own, next) = (run.stage(name), run.next(name));
    if matches!(status, Status::HalfFinished) {
        return Ok(if next.inputs().exists() { next } else { own });
    }
    if next.root.exists() {
        atomic::remove_folder(&next.root)?;
    }
    let work = if own.model().exists() { next } else { own };
    atomic::write_folder(&work.root, |fresh| {
        let fresh = StageFolder { root: fresh.to_owned() };
        fs::write(fresh.inputs(), serde_json::to_vec_pretty(inputs)?)?;
        Ok(())
    })?;
    Ok(work)
}

/// Puts a stage that was done in `work` in its place.
pub fn place(run: &RunFolder, name: &str, work: &StageFolder) -> Result<()> {
    let own = run.stage(name);
    if work.root == own.root {
        return Ok(());
    }
    atomic::exchange(&work.root, &own.root, &run.previous(name).root)
}

/// Finishes what a crash of an earlier run left of putting a stage in its place.
pub fn recover(run: &RunFolder, name: &str) -> Result<()> {
    let (own, next) = (run.stage(name), run.next(name));
    atomic::recover(&next.root, &own.root, &run.previous(name).root)?;
    if next.model().exists() { place(run, name, &next) } else { Ok(()) }
}

/// Trains `stage` and writes its result. The stage is finished when the result is in place.
/// `flops` counts the operations of all optimiser steps. `complete` adds files to the result's folder that
/// the stage itself does not know.
pub fn finish(
    stage: &mut dyn StageRun,
    training: &Training,
    flops: f64,
    complete: impl FnOnce(&Path) -> Result<()>,
) -> Result<Summary> {
    let folder = training.folder;
    let done = train(stage, training)?;
    let summary = Summary {
        steps: done.step,
        seconds: done.seconds,
        useful_tokens: done.useful_tokens,
        rows: done.rows,
        flops,
        warnings: CollapseWatch::over(&jsonl::read::<MetricsRow>(&folder.metrics())?).warnings(),
    };
    atomic::write_file(&folder.summary(), &serde_json::to_vec_pretty(&summary)?)?;
    let phase = training.console.phase("writing the result");
    stage.check_finite()?;
    atomic::write_folder(&folder.model(), |unfinished| {
        stage.save_result(unfinished)?;
        complete(unfinished)?;
        let record = FilesRecord::of(unfinished, training.fingerprint, None)?;
        atomic::write_file(&folder.result(), &record.to_bytes()?)
    })?;
    phase.finish();
    // Without `save_steps`, a checkpoint is there only because someone interrupted the stage.
    if training.settings.save_steps.is_none() && folder.checkpoints().exists() {
        fs::remove_dir_all(folder.checkpoints())
            .with_context(|| format!("cannot remove `{}`", folder.checkpoints().display()))?;
    }
    Ok(summary)
}
