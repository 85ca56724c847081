//! Keys that are legal but do nothing where they stand: warnings.

use indexmap::IndexMap;

use super::checker::Checker;
use crate::data::spec::DataSpec;
use crate::plan::settings::{Schedule, StageSettings};
use crate::recipe::schema;
use crate::recipe::written::Recipe;

/// A key and what it needs to do something.
struct Need {
    key: &'static str,
    /// Why it does nothing, after "does nothing".
    otherwise: &'static str,
    is_met: fn(&StageSettings, Option<&DataSpec>) -> bool,
}

const NEEDS: [Need; 3] = [
    Need {
        key: "lora",
        otherwise: "with `tuner = \"full\"`",
        is_met: |stage, _| stage.training.lora.is_some(),
    },
    Need {
        key: "min_lr_rate",
        otherwise: "without `lr_scheduler_type = \"cosine_with_min_lr\"`",
        is_met: |stage, _| stage.training.lr_scheduler_type == Schedule::CosineWithMinLr,
    },
    Need {
        key: "eval_steps",
        otherwise: "on data without `eval_fraction`",
        // Data that is unknown is a problem of its own.
        is_met: |_, data| data.is_none_or(|data| data.eval_fraction > 0.0),
    },
];

pub fn check(
    checker: &mut Checker,
    recipe: &Recipe,
    data: &IndexMap<String, DataSpec>,
    stages: &[StageSettings],
) {
    for need in &NEEDS {
        let is_met = |stage: &StageSettings| (need.is_met)(stage, data.get(&stage.data));
        let message = format!("`{}` does nothing {}", need.key, need.otherwise);
        for (index, stage) in stages.iter().enumerate() {
            let at = format!("/stage/{index}/{}", need.key);
            // Without a tuner, `lora` is an error already.
            let is_told = need.key == "lora" && recipe_tuner(recipe, index).is_none();
            if checker.has(&at) && !is_met(stage) && !is_told {
                checker.warning(&at, message.clone());
            }
        }
        let at = format!("/defaults/{}", need.key);
        if checker.has(&at) && !stages.iter().any(is_met) {
            checker.warning(&at, message);
        }
    }
    for (index, _) in stages.iter().enumerate() {
        check_epochs(checker, &format!("/stage/{index}"));
    }
    check_epochs(checker, "/defaults");
    check_kinds(checker, stages);
}

fn recipe_tuner(recipe: &Recipe, index: usize) -> Option<crate::recipe::stage::Tuner> {
    recipe.stage.as_ref()?.get(index)?.training.tuner
}

fn check_epochs(checker: &mut Checker, table: &str) {
    let at = format!("{table}/num_train_epochs");
    if checker.has(&at) && checker.has(&format!("{table}/max_steps")) {
        checker.warning(&at, "`num_train_epochs` does nothing beside `max_steps`");
    }
}

/// Keys of `[defaults]` that no stage's kind has.
fn check_kinds(checker: &mut Checker, stages: &[StageSettings]) {
    for (kind, keys) in schema::kinds() {
        if stages.iter().any(|stage| stage.kind.name() == kind) {
            continue;
        }
        for key in keys {
            let at = format!("/defaults/{key}");
            let is_used = schema::kinds_with(&key)
                .iter()
                .any(|owner| stages.iter().any(|stage| stage.kind.name() == *owner));
            if checker.has(&at) && !is_used {
                checker.warning(&at, format!("`{key}` does nothing without a {kind} stage"));
            }
        }
    }
}
