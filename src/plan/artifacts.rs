//! Models that stages pass on: a base folder, and an adapter on it where there is one.
//!
//! | stage | starts from | result |
//! |---|---|---|
//! | lora | a base | that base, with a new adapter |
//! | lora | a base with an adapter | that base, with the adapter trained on |
//! | full | a base | a base of its own |
//! | full | a base with an adapter | a base of its own, made of both merged |

use std::path::Path;

use indexmap::IndexMap;

use crate::kinds::{Source, StageSettings, Trains};
use crate::model::artifact::Artifact;
use crate::model::value_head::FILE as VALUE_HEAD;
use crate::plan::folder::{RunFolder, from_here};

/// Every stage's result by name, and what they start from.
#[derive(Debug)]
pub struct Artifacts {
    base: Artifact,
    results: IndexMap<String, Artifact>,
}

impl Artifacts {
    /// Results of `stages`, which come in an order in which inputs stand before their users.
    pub fn of(base: Artifact, stages: &[StageSettings], folder: &RunFolder) -> Self {
        let mut artifacts = Self { base, results: IndexMap::new() };
        for stage in stages {
            let model = folder.stage(&stage.name).model();
            let is_reward = matches!(stage.kind.facts().trains, Trains::RewardModel { .. });
            let head = |model: &Path| is_reward.then(|| model.join(VALUE_HEAD));
            let result = match stage.training.tuner.is_adapter() {
                true => Artifact {
                    base: artifacts.get(&stage.policy).base,
                    adapter: Some(model.clone()),
                    head: head(&model),
                },
                false => Artifact { base: model.clone(), adapter: None, head: head(&model) },
            };
            artifacts.results.insert(stage.name.clone(), result);
        }
        artifacts
    }

    /// The model that `source` stands for. A stage that is not there yet counts as the base; the
    /// recipe's checks let none through.
    pub fn get(&self, source: &Source) -> Artifact {
        match source {
            Source::Base => self.base.clone(),
            Source::Stage(name) => self.results.get(name).unwrap_or(&self.base).clone(),
            Source::Folder(folder) => Artifact::of_folder(&from_here(folder)),
        }
    }
}
