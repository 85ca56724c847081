//! Checkpoints: `checkpoints/step-000200/` holds all that a stage needs to go on from step 200 as
//! if it had never stopped: what the stage itself saves, and `progress.json`, which is ours. `files.json`
//! records all of them; what does not agree with it is set aside, and an older checkpoint used.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};

use crate::plan::record::FilesRecord;
use crate::report::metrics::Window;
use crate::run::atomic;

const PROGRESS: &str = "progress.json";
const RECORD: &str = "files.json";
/// What stands before the name of a checkpoint that was set aside.
const DAMAGED: &str = "damaged-";

/// How far the loop over steps has come.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TrainingProgress {
    /// Optimiser steps done.
    pub step: u64,
    /// Whether the evaluation that belongs to this step has yet to be written.
    pub evaluation_due: bool,
    /// Whether the sample answers that belong to this step have yet to be written.
    #[serde(default)]
    pub samples_due: bool,
    /// Length of `metrics.jsonl` at this step. Bytes beyond it belong to steps that will be done again.
    pub metrics_bytes: u64,
    /// Steps since the last logged row.
    pub window: Window,
    /// Time spent on steps so far, over all sessions.
    pub seconds: f64,
    /// Tokens that went through the model so far, prompts counted once.
    pub useful_tokens: u64,
    /// Rows trained on so far.
    pub rows: u64,
}

/// Writes the checkpoint of `progress.step`, unless there is one of that step already. `fingerprint` is the
/// stage's.
pub fn write(
    checkpoints: &Path,
    progress: &TrainingProgress,
    fingerprint: &str,
    save_state: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = checkpoints.join(format!("step-{:06}", progress.step));
    if !folder.exists() {
        atomic::write_folder(&folder, |unfinished| {
            save_state(unfinished)?;
            fs::write(unfinished.join(PROGRESS), serde_json::to_vec_pretty(progress)?)?;
            let record = FilesRecord::of(unfinished, fingerprint, Some(progress.step))?;
            fs::write(unfinished.join(RECORD), record.to_bytes()?)?;
            Ok(())
        })?;
    }
    Ok(())
}

/// Deletes the oldest checkpoints until `keep` are left (`None` keeps all; the newest always stays).
pub fn prune(checkpoints: &Path, keep: Option<usize>) -> Result<()> {
    let Some(keep) = keep else { return Ok(()) };
    let all = list(checkpoints)?;
    for (_, old) in &all[..all.len().saturating_sub(keep.max(1))] {
        atomic::remove_folder(old)?;
    }
    Ok(())
}

/// Deletes the checkpoint of `step`, if there is one, and says whether there was.
pub fn remove(checkpoints: &Path, step: u64) -> Result<bool> {
    match list(checkpoints)?.into_iter().find(|(found, _)| *found == step) {
        Some((_, folder)) => atomic::remove_folder(&folder).map(|()| true),
        None => Ok(false),
    }
}

/// The newest whole checkpoint of the stage with that fingerprint, if there is one. Newer ones that are not
/// whole are set aside; `tell` is called with what to say of each.
pub fn newest(
    checkpoints: &Path,
    fingerprint: &str,
    tell: &dyn Fn(&str),
) -> Result<Option<(PathBuf, TrainingProgress)>> {
    for (step, folder) in list(checkpoints)?.into_iter().rev() {
        let damage = match read(&folder, step, fingerprint) {
            Ok(progress) => return Ok(Some((folder, progress))),
            Err(damage) => damage,
        };
        let aside = set_aside(&folder)?;
        tell(&format!(
            "the checkpoint `{}` cannot be used: {damage:#}; it is set aside as `{}`",
            folder.display(),
            aside.display()
        ));
    }
    Ok(None)
}

/// Errors, with what is wrong, if the checkpoint in `folder` is not what was written at `step` of that stage.
fn read(folder: &Path, step: u64, fingerprint: &str) -> Result<TrainingProgress> {
    let record = FilesRecord::read(&folder.join(RECORD))
        .with_context(|| format!("its record `{RECORD}` is missing or cannot be read"))?;
    ensure!(record.fingerprint == fingerprint, "it is of a stage with other inputs");
    ensure!(record.step == Some(step), "it was written at another step");
    if let Some(damage) = record.damage(folder) {
        bail!(damage);
    }
    if let Some(unknown) = record.unknown(folder, RECORD)?.first() {
        bail!("`{unknown}` was not written with it");
    }
    let progress: TrainingProgress = serde_json::from_slice(&fs::read(folder.join(PROGRESS))?)
        .with_context(|| format!("`{PROGRESS}` cannot be read"))?;
    ensure!(progress.step == step, "`{PROGRESS}` is of step {}", progress.step);
    Ok(progress)
}

/// Gives a checkpoint a name under which it is not looked for.
fn set_aside(folder: &Path) -> Result<PathBuf> {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let at = |index: usize| match index {
        0 => folder.with_file_name(format!("{DAMAGED}{name}")),
        index => folder.with_file_name(format!("{DAMAGED}{name}-{index}")),
    };
    let aside = (0..).map(at).find(|path| !path.exists()).unwrap_or_else(|| at(0));
    fs::rename(folder, &aside).with_context(|| format!("cannot set aside `{}`", folder.display()))?;
    Ok(aside)
}

/// Steps and folders of all whole checkpoints, oldest first.
pub fn list(checkpoints: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    if !checkpoints.exists() {
        return Ok(found);
    }
    let context = || format!("cannot list `{}`", checkpoints.display());
    for entry in fs::read_dir(checkpoints).with_context(context)? {
        let entry = entry.with_context(context)?;
        let name = entry.file_name();
        let step =
            name.to_str().and_then(|name| name.strip_prefix("step-")).and_then(|step| step.parse().ok());
        if let Some(step) = step {
            found.push((step, entry.path()));
        }
    }
    found.sort();
    Ok(found)
}
