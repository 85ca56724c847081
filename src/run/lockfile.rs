//! `recipe.lock`: what a run read, by content; and the lock that keeps two runs out of one folder.

use std::fs::{self, File, TryLockError};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use crate::plan::document::Plan;
use crate::plan::fingerprint::DataContent;
use crate::plan::folder::RunFolder;

use indexmap::IndexMap;

/// Held as long as a run writes to its folder; the system lets go of it however the run ends.
#[derive(Debug)]
pub struct InUse(#[expect(dead_code, reason = "dropping it gives the lock back")] File);

/// Makes the run's folder if need be, and locks it. Errors if another run holds it.
pub fn lock(folder: &RunFolder) -> Result<InUse> {
    let root = folder.root.display();
    fs::create_dir_all(&folder.root).with_context(|| format!("cannot make the folder `{root}`"))?;
    let path = folder.in_use();
    let file = File::create(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(InUse(file)),
        Err(TryLockError::WouldBlock) => {
            bail!("another run is writing to `{root}`: wait for it, or give this recipe another `name`")
        }
        Err(TryLockError::Error(error)) => {
            Err(anyhow!(error).context(format!("cannot lock `{}`", path.display())))
        }
    }
}

/// The content of `recipe.lock`.
#[derive(Serialize)]
struct Lock<'a> {
    /// Files of the base model.
    model: IndexMap<&'a str, &'a str>,
    data: IndexMap<&'a str, IndexMap<&'a str, &'a str>>,
    /// Stage → fingerprint.
    stage: IndexMap<&'a str, &'a str>,
}

/// The text of `recipe.lock`, TOML.
pub fn recipe_lock(plan: &Plan) -> Result<String> {
    let mut lock = Lock { model: IndexMap::new(), data: IndexMap::new(), stage: IndexMap::new() };
    for stage in &plan.stages {
        let hashes = stage.inputs.model.iter().map(|(name, hash)| (name.as_str(), hash.as_str()));
        lock.model.extend(hashes);
        let DataContent { name, files } = &stage.inputs.data;
        let files = files.iter().map(|file| (file.name.as_str(), file.hash.as_str())).collect();
        lock.data.insert(name, files);
        lock.stage.insert(stage.name(), &stage.fingerprint);
    }
    let text = toml::to_string(&lock).context("cannot write `recipe.lock`")?;
    Ok(format!("# Written by `runner run`: what this run read, as blake3 of the content.\n\n{text}"))
}
