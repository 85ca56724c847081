//! Keys that are legal but do nothing where they stand: warnings.

use indexmap::IndexMap;
use serde_json::Value;

use super::checker::Checker;
use crate::data::spec::DataSpec;
use crate::kinds::{IdleKey, StageSettings};
use crate::optim::schedule::SchedulerType;
use crate::recipe::written::Recipe;
use crate::recipe::{schema, suggest};

/// Keys of a stage that do nothing because of its other keys.
fn idle(stage: &StageSettings, data: Option<&DataSpec>) -> Vec<IdleKey> {
    let has_adapter = stage.training.tuner.is_adapter();
    let schedule = stage.training.schedule.lr_scheduler_type;
    let common = [
        (!has_adapter, IdleKey { key: "lora", otherwise: "without `tuner = \"lora\"`" }),
        (
            schedule != SchedulerType::CosineWithMinLr,
            IdleKey { key: "min_lr_rate", otherwise: "without `lr_scheduler_type = \"cosine_with_min_lr\"`" },
        ),
        (
            // Data that is unknown is a problem of its own.
            data.is_some_and(|data| data.eval_fraction <= 0.0),
            IdleKey { key: "eval_steps", otherwise: "on data without `eval_fraction`" },
        ),
    ];
    let common = common.into_iter().filter(|(is_idle, _)| *is_idle).map(|(_, key)| key);
    common.chain(stage.kind.idle(&stage.training)).collect()
}

pub fn check(
    checker: &mut Checker,
    recipe: &Recipe,
    data: &IndexMap<String, DataSpec>,
    stages: &[StageSettings],
) {
    let of_stages: Vec<Vec<IdleKey>> =
        stages.iter().map(|stage| idle(stage, data.get(&stage.data))).collect();
    let message =
        |idle: &IdleKey| format!("`{}` does nothing {}", idle.key.replace('/', "."), idle.otherwise);
    for (index, idle) in of_stages.iter().enumerate() {
        for idle in idle {
            let at = format!("/stage/{index}/{}", idle.key);
            // Without a tuner, `lora` is an error already.
            let is_told = idle.key == "lora" && !has_tuner(recipe, index);
            if checker.has(&at) && !is_told {
                checker.warning(&at, message(idle));
            }
        }
    }
    let mut told: Vec<&str> = Vec::new();
    for idle in of_stages.iter().flatten() {
        let owners = schema::kinds_with(idle.key);
        let mut owning = stages
            .iter()
            .zip(&of_stages)
            .filter(|(stage, _)| owners.is_empty() || owners.contains(&stage.kind.name()));
        let at = format!("/defaults/{}", idle.key);
        let is_idle = |keys: &[IdleKey]| keys.iter().any(|other| other.key == idle.key);
        if checker.has(&at) && !told.contains(&idle.key) && owning.all(|(_, keys)| is_idle(keys)) {
            told.push(idle.key);
            checker.warning(&at, message(idle));
        }
    }
    for (index, _) in stages.iter().enumerate() {
        check_epochs(checker, &format!("/stage/{index}"));
    }
    check_epochs(checker, "/defaults");
    check_kinds(checker, stages);
}

fn has_tuner(recipe: &Recipe, index: usize) -> bool {
    let stages = recipe.stage.as_deref().unwrap_or_default();
    stages.get(index).is_some_and(|stage| stage.keys.contains_key("tuner"))
}

/// Of two keys that count the same thing, the first does nothing beside the second.
fn check_epochs(checker: &mut Checker, table: &str) {
    let pairs = [("num_train_epochs", "max_steps"), ("total_episodes", "max_steps")];
    // In `[defaults]`, `num_train_epochs` is for stages of other kinds.
    let of_ppo = Some(("num_train_epochs", "total_episodes")).filter(|_| table != "/defaults");
    for (key, other) in pairs.into_iter().chain(of_ppo) {
        let at = format!("{table}/{key}");
        if checker.has(&at) && checker.has(&format!("{table}/{other}")) {
            checker.warning(&at, format!("`{key}` does nothing beside `{other}`"));
        }
    }
}

/// Keys of `[defaults]` that no stage's kind has.
fn check_kinds(checker: &mut Checker, stages: &[StageSettings]) {
    let keys = checker.document.json.get("defaults").and_then(Value::as_object);
    let keys: Vec<String> = keys.into_iter().flatten().map(|(key, _)| key.clone()).collect();
    for key in keys {
        let owners = schema::kinds_with(&key);
        let is_used = stages.iter().any(|stage| owners.contains(&stage.kind.name()));
        if !owners.is_empty() && !is_used {
            let message =
                format!("`{key}` does nothing without a stage of kind {}", suggest::listed(&owners, "or"));
            checker.warning(&format!("/defaults/{key}"), message);
        }
    }
}
