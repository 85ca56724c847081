//! The plan: complete, serialisable, and in need of no more decisions. `plan.json` is this.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::backend::compute::{DeviceSpec, Dtype};
use crate::batch::{BatchPolicy, Steps};
use crate::kinds::StageSettings;
use crate::model::artifact::Artifact;
use crate::plan::counts::Counts;
use crate::plan::estimate::{MemoryEstimate, Work};
use crate::plan::fingerprint::Inputs;
use crate::plan::staleness::Status;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The recipe's name.
    pub recipe: String,
    /// Where everything is written.
    pub folder: PathBuf,
    pub base: BasePlan,
    /// In the order they run.
    pub stages: Vec<StagePlan>,
    /// What is compared after them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<ComparisonPlan>,
}

/// The model that everything starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BasePlan {
    pub artifact: Artifact,
    /// Whether it is made of random weights, in the run's folder.
    pub scratch: bool,
    pub parameters: u64,
    /// What computes, and in which floats.
    #[serde(default)]
    pub device: DeviceSpec,
    #[serde(default)]
    pub dtype: Dtype,
    /// What a person should know of it, and of other models that stages name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StagePlan {
    pub settings: StageSettings,
    /// What is trained.
    pub policy: Artifact,
    /// What it is compared with, where the recipe names that; else the policy as it starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Artifact>,
    /// The reward model of a ppo stage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reward: Option<Artifact>,
    /// What comes out.
    pub result: Artifact,
    #[serde(flatten)]
    pub status: Status,
    pub fingerprint: String,
    pub inputs: Inputs,
    pub counts: Counts,
    pub steps: Steps,
    /// How rows are packed into passes through the model.
    pub batches: BatchPolicy,
    /// Tokens of a sample answer, at most. Plans of earlier versions do not say it.
    #[serde(default)]
    pub sample_tokens: usize,
    /// Weights that are trained.
    pub trainable: u64,
    pub memory: MemoryEstimate,
    pub work: Work,
}

impl StagePlan {
    pub fn name(&self) -> &str {
        &self.settings.name
    }
}

/// Stages that start from one model and are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComparisonPlan {
    /// Names of the stages, in the order in which they run.
    pub stages: Vec<String>,
    /// The stage whose held-out rows all of them are measured on.
    pub pairs_of: String,
    /// Prompts that are answered, at most.
    pub max_prompts: usize,
    /// Tokens of an answer, at most.
    pub answer_tokens: usize,
}
