//! Runs one stage: takes its folder, trains, and puts the result in place.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::plan::fingerprint::Inputs;
use crate::plan::finished::Summary;
use crate::plan::folder::StageFolder;
use crate::plan::staleness::Status;
use crate::report::collapse::CollapseWatch;
use crate::report::jsonl;
use crate::report::metrics::MetricsRow;
use crate::run::atomic;
use crate::run::train::{Training, train};
use crate::train::StageRun;

/// Takes the stage's folder: a half-finished one is kept, a stale one is replaced.
pub fn claim(folder: &StageFolder, inputs: &Inputs, status: &Status) -> Result<()> {
    if matches!(status, Status::HalfFinished) {
        return Ok(());
    }
    atomic::write_folder(&folder.root, |fresh| {
        let fresh = StageFolder { root: fresh.to_owned() };
        fs::write(fresh.inputs(), serde_json::to_vec_pretty(inputs)?)?;
        Ok(())
    })
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
    atomic::write_folder(&folder.model(), |unfinished| {
        stage.save_result(unfinished)?;
        complete(unfinished)
    })?;
    phase.finish();
    // Without `save_steps`, a checkpoint is there only because someone interrupted the stage.
    if training.settings.save_steps.is_none() && folder.checkpoints().exists() {
        fs::remove_dir_all(folder.checkpoints())
            .with_context(|| format!("cannot remove `{}`", folder.checkpoints().display()))?;
    }
    Ok(summary)
}
