//! Keys of `[[stage]]`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::names::TABLE_NAME;
use crate::kinds::source::MODEL_SOURCE;
use crate::kinds::{Kind, Source};

// The keys of its kind, and those that every kind has, are added to the schema from `KindSettings` and
// `TrainingSettings`.
/// One stage of training.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct StageTable {
    /// Name of the stage and of its folder in the run: letters, digits, `_` and `-`.
    #[schemars(required, regex(pattern = TABLE_NAME))]
    pub name: Option<String>,
    /// What the stage does.
    #[schemars(required)]
    pub kind: Option<Kind>,
    #[serde(flatten)]
    pub common: StageKeys,
    /// All other keys.
    #[serde(flatten)]
    #[schemars(skip)]
    pub keys: Map<String, Value>,
}

/// Keys of a stage that `[defaults]` may have too.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct StageKeys {
    /// Name of the `[data.NAME]` table to train on.
    pub data: Option<String>,
    /// Model to train: `base`, or `stage:NAME` for the result of a stage before this one. Default:
    /// the newest stage before that is no reward model, or `base` where there is none.
    #[schemars(regex(pattern = MODEL_SOURCE))]
    pub policy: Option<Source>,
}
