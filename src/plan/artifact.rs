//! Models that stages pass on: a base folder, and an adapter on it where there is one.
//!
//! | stage | starts from | result |
//! |---|---|---|
//! | lora | a base | that base, with a new adapter |
//! | lora | a base with an adapter | that base, with the adapter trained on |
//! | full | a base | a base of its own |
//! | full | a base with an adapter | a base of its own, made of both merged |

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::plan::folder::{RunFolder, from_here};
use crate::plan::settings::{KindSettings, Source, StageSettings};

/// The file of a reward model's head, beside its weights.
pub const VALUE_HEAD: &str = "value_head.safetensors";

/// A model on the disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Folder in Hugging Face layout.
    pub base: PathBuf,
    /// Folder in PEFT layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Safetensors file with a value head: `value_head.safetensors` of a reward model, or `head` of
    /// `[model]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
}

impl Artifact {
    /// A result that lies in a folder of its own: a whole model, or an adapter whose configuration
    /// names its base; with a head where there is one.
    pub fn of_folder(folder: &Path) -> Self {
        let config = std::fs::read(folder.join("adapter_config.json")).ok();
        let config = config.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let base = config.as_ref().and_then(|config| config["base_model_name_or_path"].as_str());
        let head = Some(folder.join(VALUE_HEAD)).filter(|head| head.is_file());
        match base {
            Some(base) => Artifact { base: folder.join(base), adapter: Some(folder.to_owned()), head },
            None => Artifact { base: folder.to_owned(), adapter: None, head },
        }
    }
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
            let is_reward = matches!(stage.kind, KindSettings::Rm(_));
            let head = |model: &Path| is_reward.then(|| model.join(VALUE_HEAD));
            let result = match stage.training.lora {
                Some(_) => Artifact {
                    base: artifacts.get(&stage.policy).base,
                    adapter: Some(model.clone()),
                    head: head(&model),
                },
                None => Artifact { base: model.clone(), adapter: None, head: head(&model) },
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
