//! The top level of a recipe, as written.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;

use super::data::DataTable;
use super::model::ModelTable;
use super::names::{RECIPE_NAME, TABLE_NAME};
use super::stage::{StageKeys, StageTable};
use crate::train::settings::SEED;

/// A recipe: a model, its data, and the stages of training that it goes through.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[schemars(title = "runner recipe")]
pub struct Recipe {
    /// Name of the recipe and of its folder under `runs/`: letters, digits, `.`, `_` and `-`.
    #[schemars(required, regex(pattern = RECIPE_NAME))]
    pub name: Option<String>,
    /// Seed of everything random, for stages that name none of their own.
    #[schemars(extend("default" = SEED))]
    pub seed: Option<u64>,
    /// The model that the first stage starts from.
    #[schemars(required)]
    pub model: Option<ModelTable>,
    /// Data sets, one `[data.NAME]` table each; stages refer to them by name.
    #[schemars(extend("propertyNames" = { "pattern": TABLE_NAME }))]
    pub data: Option<IndexMap<String, DataTable>>,
    /// Keys for every stage that has them; a stage's own key wins. The keys of `lora` count one by
    /// one.
    pub defaults: Option<Defaults>,
    /// The stages, in the order that they run.
    #[schemars(required, length(min = 1))]
    pub stage: Option<Vec<StageTable>>,
}

/// `[defaults]`: every key of a stage but its name and kind, added to the schema as those of a stage are.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub struct Defaults {
    #[serde(flatten)]
    pub common: StageKeys,
}
