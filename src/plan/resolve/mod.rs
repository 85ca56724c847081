//! From a recipe as written to what its stages are: every default filled in, every reference
//! followed, every problem found and reported at once.

mod adapters;
mod checker;
mod compute;
mod data;
mod formats;
mod idle;
mod inherit;
mod model;
mod opened;
mod pattern;
mod references;
mod reward;
mod stages;

use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde_json::Value;

use self::checker::Checker;
pub use self::compute::RecipeUse;
pub use self::reward::uses_head;
use crate::data::spec::DataSpec;
use crate::kinds::StageSettings;
use crate::model::folder::{SINGLE, has_weights, no_weights};
use crate::model::spec::{ModelOrigin, ModelSpec};
use crate::recipe::diagnostics::{Diagnostics, Problem, Severity};
use crate::recipe::document::Document;
use crate::recipe::written::Recipe;
use crate::recipe::{overrides, violations};
use crate::train::settings::SEED;

/// A recipe without mistakes.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The path as it was given.
    pub path: PathBuf,
    /// The absolute folder that paths in the recipe are relative to.
    pub dir: PathBuf,
    /// The recipe's text as read; `overrides` are not in it.
    pub source: String,
    /// Every `--set`, as given.
    pub overrides: Vec<String>,
    pub name: String,
    pub seed: u64,
    pub model: ModelSpec,
    /// In the order of the recipe.
    pub data: IndexMap<String, DataSpec>,
    /// Each after the stages that it needs: the order of the recipe.
    pub stages: Vec<StageSettings>,
    /// What is legal but does nothing.
    pub warnings: Diagnostics,
    document: Document,
}

impl Resolved {
    /// An error at the value of a JSON pointer (`/stage/0/data`, `/data/rows/source`), or at the
    /// table that it is missing from. Stages count from 0 in the order of the recipe.
    pub fn problem_at(&self, pointer: &str, message: String, help: Option<String>) -> Problem {
        let place = self.document.value_place(pointer);
        Problem { help, ..Problem::error(place, message) }
    }

    /// Errors if the model's folder has no weights. A plan needs none; a run does, and a check of one.
    pub fn check_weights(&self) -> Result<(), Diagnostics> {
        let ModelOrigin::Folder(folder) = &self.model.origin else { return Ok(()) };
        if has_weights(folder) {
            return Ok(());
        }
        let written = self.document.json.pointer("/model/base").and_then(Value::as_str).unwrap_or_default();
        let message = model::lacking(written, &[SINGLE]);
        let help = no_weights(folder).help.or_else(|| Some(model::HUGGING_FACE_LAYOUT.to_owned()));
        Err(self.diagnostics(vec![self.problem_at("/model/base", message, help)]))
    }

    /// Problems, ready to be printed with the lines that they are about.
    pub fn diagnostics(&self, problems: Vec<Problem>) -> Diagnostics {
        self.document.diagnostics(problems)
    }
}

/// Reads the recipe at `path`, applies each `--set` of `overrides` (`stage.NAME.key=value`,
/// `data.NAME.key=value`, `model.key=value`, …) and resolves it for `purpose`. Reads no
/// weights but their headers, and no rows. Errors with every problem found; warnings come along.
pub fn load(path: &Path, overrides: &[String], purpose: RecipeUse) -> Result<Resolved, Diagnostics> {
    let name = path.display().to_string();
    let unread = |message: String| Diagnostics::new(Default::default(), vec![Problem::error(None, message)]);
    if path.exists() && !path.is_file() {
        return Err(unread(format!("cannot read the recipe `{name}`: it is no file")));
    }
    let bytes =
        std::fs::read(path).map_err(|error| unread(format!("cannot read the recipe `{name}`: {error}")))?;
    let source = String::from_utf8(bytes)
        .map_err(|error| unread(format!("the recipe `{name}` is not UTF-8: {error}")))?;
    let absolute = std::path::absolute(path)
        .map_err(|error| unread(format!("cannot tell where `{name}` lies: {error}")))?;
    let dir = absolute.parent().unwrap_or(&absolute).to_owned();

    let (mut document, mut problems) = Document::parse(&name, &source)?;
    for text in overrides {
        problems.extend(overrides::apply(&mut document, text));
    }
    problems.extend(violations::check(&mut document));
    let undecoded = |document: &Document, mut problems: Vec<Problem>, error: serde_json::Error| {
        problems.push(Problem::error(None, format!("the recipe cannot be read: {error}")));
        document.diagnostics(problems)
    };
    let recipe = match decode(&document) {
        Ok(recipe) => recipe,
        Err(error) => return Err(undecoded(&document, problems, error)),
    };

    let mut checker = Checker::new(&document, &dir, problems);
    let model = model::resolve(&mut checker, &recipe, purpose);
    let data = data::resolve(&mut checker, &recipe);
    let stages = match stages::resolve(&mut checker, &recipe) {
        Ok(stages) => stages,
        Err(error) => return Err(undecoded(&document, checker.problems, error)),
    };
    references::check(&mut checker, &recipe, &stages, &data);
    reward::check(&mut checker, &recipe, &stages, model.as_ref());
    reward::check_head(&mut checker, &recipe, model.as_ref(), &stages);
    data::check_use(&mut checker, &recipe);
    idle::check(&mut checker, &recipe, &data, &stages);
    adapters::check(&mut checker, &stages, model.as_ref().and_then(|m| m.adapter.as_deref()));
    let base = model.as_ref().and_then(|model| match &model.origin {
        ModelOrigin::Folder(folder) => Some(folder.as_path()),
        ModelOrigin::Scratch(_) => None,
    });
    adapters::check_path(&mut checker, &stages, base);
    if let (Some(model), RecipeUse::Run) = (&model, purpose) {
        opened::check(&mut checker, model, &stages);
    }
    let problems = checker.problems;

    let is_wrong = problems.iter().any(|problem| problem.severity == Severity::Error);
    let (Some(name), Some(model), false) = (recipe.name, model, is_wrong) else {
        return Err(document.diagnostics(problems));
    };
    Ok(Resolved {
        path: path.to_owned(),
        dir,
        source,
        overrides: overrides.to_vec(),
        name,
        seed: recipe.seed.unwrap_or(SEED),
        model,
        data,
        stages,
        warnings: document.diagnostics(problems),
        document,
    })
}

/// The recipe with `[defaults]` filled into its stages.
fn decode(document: &Document) -> serde_json::Result<Recipe> {
    let mut json = document.json.clone();
    let defaults = json.get("defaults").cloned().unwrap_or(Value::Null);
    for stage in json.get_mut("stage").and_then(Value::as_array_mut).into_iter().flatten() {
        inherit::fill(stage, &defaults);
    }
    serde_json::from_value(json)
}
