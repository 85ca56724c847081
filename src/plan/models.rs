//! The models in folders that a recipe names, opened as a run will open them, but without their weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};

use crate::kinds::{Role, StageSettings, Trains};
use crate::model::artifact::Artifact;
use crate::model::artifact::head_in;
use crate::model::config::Config;
use crate::model::fault::{Fault, Faults};
use crate::model::folder::{ModelFolder, has_weights};
use crate::plan::openable;
use crate::plan::resolve::{Resolved, uses_head};

/// Folders that stages name as references and reward models, opened so far.
#[derive(Debug, Default)]
pub struct ModelFolders {
    /// Folder → what was found in it, of the folders whose only fault may be a missing head.
    found: BTreeMap<PathBuf, Found>,
    /// What a person should know of them.
    pub warnings: Vec<String>,
}

/// A model in a folder.
#[derive(Debug)]
struct Found {
    /// Why it cannot predict tokens.
    headless: Option<Fault>,
    config: Config,
}

impl ModelFolders {
    /// The config of the model in `folder`, if that was checked and is sound.
    pub fn config(&self, folder: &Path) -> Option<&Config> {
        self.found.get(folder).map(|found| &found.config)
    }

    /// What is wrong with the model in `folder`, which is to predict tokens if `predicts`.
    pub fn check(&mut self, folder: &Path, predicts: bool) -> Vec<Fault> {
        if let Some(found) = self.found.get(folder) {
            return found.headless.iter().filter(|_| predicts).cloned().collect();
        }
        match ModelFolder::open(folder) {
            Ok(opened) => {
                let headless = opened.headless();
                self.warnings.extend(opened.warnings);
                let faults = headless.iter().filter(|_| predicts).cloned().collect();
                self.found.insert(folder.to_owned(), Found { headless, config: opened.config });
                faults
            }
            Err(error) => faults(&error),
        }
    }
}

/// The recipe's model in a folder.
pub struct OpenedBase {
    pub config: Config,
    /// Why it cannot predict tokens.
    pub headless: Option<Fault>,
    /// What is wrong with it for the stages of the recipe.
    pub faults: Vec<Fault>,
    /// What a person should know of it.
    pub warnings: Vec<String>,
}

/// Opens the recipe's model. A plan may be made before the weights are there.
pub fn open_base(recipe: &Resolved, path: &Path) -> Result<OpenedBase> {
    if !has_weights(path) {
        let config = Config::read(path)?;
        let mut warnings = config.warnings.clone();
        warnings.push(format!(
            "`{}` has no weights yet, so they are not checked; a run needs them",
            path.display()
        ));
        return Ok(OpenedBase { config, headless: None, faults: Vec::new(), warnings });
    }
    let folder = ModelFolder::open(path)?;
    let headless = folder.headless();
    let mut warnings = folder.warnings;
    let adapter = path.join("adapter_config.json");
    if adapter.is_file() && recipe.model.adapter.is_none() {
        warnings.push(format!(
            "`{}` lies beside the model and is not read; name its folder as `adapter` of `[model]` to start with it",
            adapter.display()
        ));
    }
    let mut faults = Vec::new();
    let brings_head = Artifact::of(path.to_owned(), recipe.model.adapter.clone()).head.is_some();
    // A head that can be read is dealt with where `[model]` is resolved.
    match recipe.stages.iter().any(uses_head) {
        true if brings_head || recipe.model.head.is_some() => {}
        true => match openable::foreign_head(path, &folder.reward_heads) {
            Some(fault) => faults.push(fault),
            None => warnings.extend(openable::lost_head(path, &folder.config)),
        },
        false if !folder.reward_heads.is_empty() && head_in(path).is_none() => warnings.push(format!(
            "`{}` has the head of a reward model or classifier, which no stage uses: `{}`",
            path.display(),
            folder.reward_heads.join("`, `")
        )),
        false => {}
    }
    Ok(OpenedBase { config: folder.config, headless, faults, warnings })
}

/// The faults that an error stands for.
pub fn faults(error: &Error) -> Vec<Fault> {
    match error.downcast_ref::<Faults>() {
        Some(Faults(faults)) => faults.clone(),
        None => vec![Fault::new(format!("{error:#}"))],
    }
}

/// Whether the model in a stage's role is to predict tokens: all but those that score.
pub fn predicts(stage: &StageSettings, role: Role) -> bool {
    match role {
        Role::Reward => false,
        Role::Policy => !matches!(stage.kind.facts().trains, Trains::RewardModel { .. }),
        Role::Reference => true,
    }
}
