//! Holds models that are read against the records that were written with them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::model::artifact::Artifact;
use crate::plan::document::StagePlan;
use crate::plan::folder::record_of;
use crate::plan::record::FilesRecord;

/// Errors if a result that the stage reads is not what was written.
pub fn check_read(stage: &StagePlan) -> Result<()> {
    check([Some(&stage.policy), stage.reference.as_ref(), stage.reward.as_ref()].into_iter().flatten())
}

/// Errors if one of the models is the result of a stage, and its files are not those that were written. All
/// of them are read. Results of earlier versions have no record and pass.
pub fn check<'a>(artifacts: impl Iterator<Item = &'a Artifact>) -> Result<()> {
    let folders: BTreeSet<&Path> = artifacts
        .flat_map(|Artifact { base, adapter, head }| {
            let head = head.as_deref().and_then(Path::parent);
            [Some(base.as_path()), adapter.as_deref(), head]
        })
        .flatten()
        .collect();
    folders.into_iter().try_for_each(check_folder)
}

fn check_folder(folder: &Path) -> Result<()> {
    let Some(path) = record_of(folder) else { return Ok(()) };
    let record = FilesRecord::read(&path).with_context(|| {
        format!("`{}` cannot be read; run the recipe again, which makes it anew", path.display())
    })?;
    match record.damage(folder) {
        None => Ok(()),
        Some(damage) => bail!(
            "`{}` is damaged or was changed: {damage}; run the recipe again, which makes it anew, or copy the \
             folder to another place to use it as it is",
            folder.display()
        ),
    }
}
