//! The models in folders that a recipe names: opened as a run will open them, but for their weights.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Error, Result};

use crate::kinds::{Role, StageSettings, Trains};
use crate::model::artifact::head_in;
use crate::model::config::Config;
use crate::model::fault::{Fault, Faults};
use crate::model::folder::{ModelFolder, has_weights};
use crate::plan::resolve::{Resolved, uses_head};

/// Folders that stages name as references and reward models, opened so far.
#[derive(Debug, Default)]
pub struct Models {
    /// Folder → why it cannot predict tokens, of those that are sound otherwise.
    headless: BTreeMap<PathBuf, Option<Fault>>,
    /// What a person should know of them.
    pub warnings: Vec<String>,
}

impl Models {
    /// What is wrong with the model in `folder`, which is to predict tokens if `predicts`.
    pub fn check(&mut self, folder: &Path, predicts: bool) -> Vec<Fault> {
        if let Some(headless) = self.headless.get(folder) {
            return headless.iter().filter(|_| predicts).cloned().collect();
        }
        match ModelFolder::open(folder) {
            Ok(opened) => {
                let headless = opened.headless();
                self.warnings.extend(opened.warnings);
                let faults = headless.iter().filter(|_| predicts).cloned().collect();
                self.headless.insert(folder.to_owned(), headless);
                faults
            }
            Err(error) => faults(&error),
        }
    }
}

/// The config of the recipe's model in a folder, why it cannot predict tokens, and what a person should
/// know of it. A plan may be made before the weights are there.
pub fn open_base(recipe: &Resolved, path: &Path) -> Result<(Config, Option<Fault>, Vec<String>)> {
    if !has_weights(path) {
        let config = Config::read(path)?;
        let mut warnings = config.warnings.clone();
        warnings.push(format!(
            "`{}` has no weights yet, so they are not checked; a run needs them",
            path.display()
        ));
        return Ok((config, None, warnings));
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
    // A head that scores is spoken of where `[model]` is resolved.
    if !folder.reward_heads.is_empty() && head_in(path).is_none() && !recipe.stages.iter().any(uses_head) {
        warnings.push(format!(
            "`{}` has the head of a reward model or classifier, which no stage uses: `{}`",
            path.display(),
            folder.reward_heads.join("`, `")
        ));
    }
    Ok((folder.config, headless, warnings))
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
