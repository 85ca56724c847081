//! `recipe.lock`, which lists what a run read by its content, and the lock that keeps two runs out of one
//! folder.

use std::fs::{self, File, TryLockError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde::Serialize;

use crate::plan::document::Plan;
use crate::plan::fingerprint::DataContent;
use crate::plan::folder::RunFolder;

use indexmap::IndexMap;

/// A killed run holds its lock until the system has ended the process.
const GRACE: Duration = Duration::from_secs(1);

/// The lock that a run holds while it writes to its folder. The system releases it however the run ends.
#[derive(Debug)]
pub struct InUse(#[expect(dead_code, reason = "dropping it gives the lock back")] File);

/// Makes the run's folder if there is none, and locks it. Errors if another run holds it.
pub fn lock(folder: &RunFolder) -> Result<InUse> {
    let root = folder.root.display();
    fs::create_dir_all(&folder.root).with_context(|| format!("cannot make the folder `{root}`"))?;
    let path = folder.in_use();
    let file = File::create(&path).with_context(|| format!("cannot write `{}`", path.display()))?;
    let deadline = Instant::now() + GRACE;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(InUse(file)),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => sleep(GRACE / 20),
            Err(TryLockError::WouldBlock) => {
                bail!("another run is writing to `{root}`: wait for it, or give this recipe another `name`")
            }
            Err(TryLockError::Error(error)) => {
                return Err(anyhow!(error).context(format!("cannot lock `{}`", path.display())));
            }
        }
    }
}

/// The content of `recipe.lock`.
#[derive(Serialize)]
struct Lock<'a> {
    /// The files of the base model.
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
