//! Models that stages pass on: a base folder, and an adapter on it where there is one.
//!
//! | stage | starts from | result |
//! |---|---|---|
//! | lora | a base | that base, with a new adapter |
//! | lora | a base with an adapter | that base, with the adapter trained on |
//! | full | a base | a base of its own |
//! | full | a base with an adapter | a base of its own, made of both merged |

use std::path::PathBuf;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::plan::folder::RunFolder;
use crate::plan::settings::{Source, StageSettings};

/// A model on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Folder in Hugging Face layout.
    pub base: PathBuf,
    /// Folder in PEFT layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
}

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
            let result = match stage.training.lora {
                Some(_) => Artifact { base: artifacts.get(&stage.policy).base.clone(), adapter: Some(model) },
                None => Artifact { base: model, adapter: None },
            };
            artifacts.results.insert(stage.name.clone(), result);
        }
        artifacts
    }

    /// The model that `source` stands for. A stage that is not there yet counts as the base; the
    /// recipe's checks let none through.
    pub fn get(&self, source: &Source) -> &Artifact {
        match source {
            Source::Base => &self.base,
            Source::Stage(name) => self.results.get(name).unwrap_or(&self.base),
        }
    }
}
