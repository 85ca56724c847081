//! Checkpoints: `checkpoints/step-000200/` holds all that a stage needs to go on from step 200 as
//! if it had never stopped: what the stage itself saves, and `progress.json`, which is ours.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::report::metrics::Window;
use crate::run::atomic;

const PROGRESS: &str = "progress.json";

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

/// Writes the checkpoint of `progress.step`, unless there is one of that step already, and deletes the
/// oldest ones until `keep` are left (`None` keeps all; the newest always stays).
pub fn write(
    checkpoints: &Path,
    progress: &TrainingProgress,
    keep: Option<usize>,
    save_state: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let folder = checkpoints.join(format!("step-{:06}", progress.step));
    if !folder.exists() {
        atomic::write_folder(&folder, |unfinished| {
            save_state(unfinished)?;
            fs::write(unfinished.join(PROGRESS), serde_json::to_vec_pretty(progress)?)?;
            Ok(())
        })?;
    }
    if let Some(keep) = keep {
        let all = list(checkpoints)?;
        for (_, old) in &all[..all.len().saturating_sub(keep.max(1))] {
            atomic::remove_folder(old)?;
        }
    }
    Ok(())
}

/// The newest checkpoint, if there is one.
pub fn newest(checkpoints: &Path) -> Result<Option<(PathBuf, TrainingProgress)>> {
    let Some((_, folder)) = list(checkpoints)?.pop() else { return Ok(None) };
    let path = folder.join(PROGRESS);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let progress = serde_json::from_str(&text).with_context(|| {
        format!("`{}` is damaged; delete that checkpoint, or start again with `--fresh`", path.display())
    })?;
    Ok(Some((folder, progress)))
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
