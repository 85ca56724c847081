//! Whether a stage's earlier result still holds, and if not, why not.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::base::REWARD_CONTENT;
use crate::plan::content::Hashes;
use crate::plan::fingerprint::Inputs;
use crate::plan::folder::{RunFolder, StageFolder};
use crate::plan::record::FilesRecord;

/// What a run will make of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum Status {
    /// There is nothing yet.
    New,
    /// Its result is there and still holds.
    Finished,
    /// It stopped half-way and goes on.
    HalfFinished,
    /// Something that its earlier result follows from has changed.
    Stale { reasons: Vec<StaleReason> },
}

/// Why an earlier result does not hold.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum StaleReason {
    /// `--fresh`.
    Asked,
    /// The record beside it cannot be read.
    NoRecord,
    /// This program computes this kind otherwise than the one that made the result.
    Numerics {
        old: u32,
        new: u32,
    },
    Setting {
        key: String,
        old: Value,
        new: Value,
    },
    Data {
        name: String,
        files: Vec<String>,
    },
    /// A file of the base model or of a reward model's folder, or the chat template.
    Model {
        file: String,
    },
    /// A stage that it reads.
    Stage {
        name: String,
    },
    /// Its files are not those that were written.
    Damaged {
        what: String,
    },
}

impl fmt::Display for StaleReason {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            StaleReason::Asked => write!(f, "`--fresh` asks for it"),
            StaleReason::NoRecord => write!(f, "its `inputs.json` cannot be read"),
            StaleReason::Numerics { old, new } => {
                write!(f, "this version computes it differently (numerics {old} → {new})")
            }
            StaleReason::Setting { key, old, new } => write!(f, "{key}: {} → {}", shown(old), shown(new)),
            StaleReason::Data { name, files } => write!(f, "data `{name}` changed ({})", files.join(", ")),
            StaleReason::Model { file } => match file.strip_prefix(REWARD_CONTENT) {
                Some(file) => write!(f, "the reward model's {file} changed"),
                None => write!(f, "the model's {file} changed"),
            },
            StaleReason::Damaged { what } => write!(f, "its result is damaged or was changed: {what}"),
            StaleReason::Stage { name } => write!(f, "its input stage `{name}` changed"),
        }
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What is there of the stage `name`, seen from the inputs that it has now.
pub fn status(run: &RunFolder, name: &str, now: &Inputs, fresh: bool, hashes: &mut Hashes) -> Result<Status> {
    let (folder, next) = (run.stage(name), run.next(name));
    if !folder.inputs().exists() && !folder.model().exists() && !next.inputs().exists() {
        return Ok(Status::New);
    }
    if fresh {
        return Ok(Status::Stale { reasons: vec![StaleReason::Asked] });
    }
    let fingerprint = now.fingerprint().context("cannot compare fingerprints")?;
    if is_of(&next, &fingerprint) {
        return Ok(Status::HalfFinished);
    }
    let Some(before) = recorded(&folder) else {
        return Ok(Status::Stale { reasons: vec![StaleReason::NoRecord] });
    };
    if before.fingerprint()? != fingerprint {
        return Ok(Status::Stale { reasons: reasons(&before, now) });
    }
    if !folder.model().exists() {
        return Ok(Status::HalfFinished);
    }
    Ok(match damage(&folder, &fingerprint, hashes) {
        Some(what) => Status::Stale { reasons: vec![StaleReason::Damaged { what }] },
        None => Status::Finished,
    })
}

/// What is wrong with the files of a result; `None` if they are those that were written, or an earlier
/// version, which kept no record of them, wrote them.
fn damage(folder: &StageFolder, fingerprint: &str, hashes: &mut Hashes) -> Option<String> {
    let path = folder.result();
    if !path.exists() {
        let empty = fs::read_dir(folder.model()).ok()?.next().is_none();
        return empty.then(|| "its folder is empty".to_owned());
    }
    match FilesRecord::read(&path) {
        None => Some("`result.json` cannot be read".to_owned()),
        Some(record) if record.fingerprint != fingerprint => {
            Some("`result.json` is that of another result".to_owned())
        }
        Some(record) => record.change(&folder.model(), hashes),
    }
}

/// Whether the stage's folder was made from inputs of that fingerprint.
pub fn is_of(folder: &StageFolder, fingerprint: &str) -> bool {
    recorded(folder).and_then(|inputs| inputs.fingerprint().ok()).is_some_and(|found| found == fingerprint)
}

/// The inputs that the stage's folder was made with.
pub fn recorded(folder: &StageFolder) -> Option<Inputs> {
    serde_json::from_slice(&fs::read(folder.inputs()).ok()?).ok()
}

/// Every difference between two sets of inputs that enters the fingerprint.
pub fn reasons(before: &Inputs, now: &Inputs) -> Vec<StaleReason> {
    let mut reasons = Vec::new();
    if before.numerics != now.numerics {
        reasons.push(StaleReason::Numerics { old: before.numerics, new: now.numerics });
    }
    let keys: BTreeSet<&String> = before.settings.keys().chain(now.settings.keys()).collect();
    for key in keys {
        let of = |inputs: &Inputs| inputs.settings.get(key).cloned().unwrap_or(Value::Null);
        let (old, new) = (of(before), of(now));
        if old != new {
            reasons.push(StaleReason::Setting { key: key.clone(), old, new });
        }
    }
    if let Some(files) = changed_files(before, now) {
        reasons.push(StaleReason::Data { name: now.data.name.clone(), files });
    }
    let files: BTreeSet<&String> = before.model.keys().chain(now.model.keys()).collect();
    for file in files.into_iter().filter(|&file| before.model.get(file) != now.model.get(file)) {
        reasons.push(StaleReason::Model { file: file.clone() });
    }
    for (role, stage) in &now.stages {
        if before.stages.get(role).is_some_and(|old| old.name == stage.name && old != stage) {
            reasons.push(StaleReason::Stage { name: stage.name.clone() });
        }
    }
    reasons
}

/// Names of data files that are new, gone or different; `None` if nothing differs.
fn changed_files(before: &Inputs, now: &Inputs) -> Option<Vec<String>> {
    let (old, new) = (&before.data.files, &now.data.files);
    let same = |i: usize| old.get(i).map(|file| &file.hash) == new.get(i).map(|file| &file.hash);
    let changed = (0..old.len().max(new.len())).filter(|&i| !same(i));
    let names: Vec<String> =
        changed.filter_map(|i| new.get(i).or(old.get(i)).map(|file| file.name.clone())).collect();
    (!names.is_empty()).then_some(names)
}
