//! Whether a run will be able to open the models of a recipe: the adapter of `[model]`, and what stages
//! name by folder.

use std::path::Path;

use super::checker::Checker;
use crate::kinds::{Role, Source, StageSettings, Trains};
use crate::model::artifact::Artifact;
use crate::model::folder::ModelFolder;
use crate::model::spec::{ModelOrigin, ModelSpec};
use crate::model::tuner::adapter::Adapter;
use crate::plan::openable::{self, ModelUse};

pub fn check(checker: &mut Checker, model: &ModelSpec, stages: &[StageSettings]) {
    if let ModelOrigin::Folder(base) = &model.origin {
        check_model(checker, base, model.adapter.as_deref(), stages);
    }
    for (index, stage) in stages.iter().enumerate() {
        for (role, source) in stage.sources() {
            if let Source::Folder(folder) = source {
                check_folder(checker, index, stage, role, folder);
            }
        }
    }
}

/// The base and its adapter. What cannot be read of the base is reported when it is opened.
fn check_model(checker: &mut Checker, base: &Path, adapter: Option<&Path>, stages: &[StageSettings]) {
    let opened = ModelFolder::open(base).ok();
    let has_head = opened.as_ref().is_none_or(|model| model.has_head);
    let config = opened.map(|model| model.config);
    let speaks = stages
        .iter()
        .find(|stage| stage.policy == Source::Base && use_of_policy(stage) == ModelUse::Generates);
    if let (Some(stage), false) = (speaks, has_head) {
        let message = format!(
            "the base is a reward model without a head for tokens (`lm_head.weight`), and stage `{}` trains \
             what it answers",
            stage.name
        );
        checker.error("/model/base", message).help = Some("name the model that it was made from".to_owned());
    }
    let Some(folder) = adapter.filter(|folder| openable::is_adapter(folder)) else { return };
    let at = "/model/adapter";
    let opened = match &config {
        Some(config) => openable::places(folder, config, has_head).map(Some),
        None => Adapter::open(folder).map(|_| None),
    };
    match opened {
        Err(error) => {
            checker.error(at, format!("{error:#}"));
        }
        Ok(None) => {}
        Ok(Some((adapter, places))) => {
            for warning in &places.warnings {
                checker.warning(at, format!("the adapter's {warning}"));
            }
            let continuing =
                stages.iter().find(|stage| stage.policy == Source::Base && stage.training.tuner.is_adapter());
            if let (Some(stage), Some(why)) = (continuing, places.only_frozen(&adapter.config)) {
                checker.error(at, format!("stage `{}` trains the adapter further: {why}", stage.name));
            }
        }
    }
}

fn use_of_policy(stage: &StageSettings) -> ModelUse {
    match stage.kind.facts().trains {
        Trains::RewardModel { .. } => ModelUse::Trunk,
        Trains::Policy | Trains::PolicyAndValue => ModelUse::Generates,
    }
}

/// A model that a stage names by its folder.
fn check_folder(checker: &mut Checker, index: usize, stage: &StageSettings, role: Role, folder: &Path) {
    let at = checker.stage_key(index, role.key());
    let artifact = Artifact::of_folder(folder);
    let used = match role {
        Role::Reward => ModelUse::Scores,
        Role::Policy => use_of_policy(stage),
        Role::Reference => ModelUse::Generates,
    };
    // This is reported already, and in better words.
    let told = !folder.is_dir()
        || checker.document.is_refused(&at)
        || (used == ModelUse::Scores
            && artifact.head.is_none()
            && openable::check_readable(&artifact).is_ok());
    if told {
        return;
    }
    let opened = match openable::check(&artifact, used) {
        Ok(opened) => opened,
        Err(error) => {
            checker.error(&at, format!("{error:#}"));
            return;
        }
    };
    for warning in opened.warnings() {
        checker.warning(&at, warning);
    }
    // The value model of ppo starts from the reward model.
    let trains = used != ModelUse::Generates || role == Role::Policy;
    if let (true, true, Err(error)) = (trains, stage.training.tuner.is_adapter(), opened.check_continued()) {
        checker.error(&at, format!("stage `{}` trains the adapter further: {error:#}", stage.name));
    }
}
