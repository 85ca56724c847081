//! Keys that are legal but do nothing where they stand: warnings.

use indexmap::IndexMap;
use serde_json::Value;

use super::checker::Checker;
use crate::data::spec::DataSpec;
use crate::plan::settings::{CpoLoss, DpoLoss, FDivergence, KindSettings, Schedule, StageSettings};
use crate::recipe::written::Recipe;
use crate::recipe::{schema, wording};

/// A key and what it needs to do something.
struct Need {
    key: &'static str,
    /// Why it does nothing, after "does nothing".
    otherwise: &'static str,
    is_met: fn(&StageSettings, Option<&DataSpec>) -> bool,
}

const NEEDS: [Need; 7] = [
    Need {
        key: "lora",
        otherwise: "with `tuner = \"full\"`",
        is_met: |stage, _| stage.training.lora.is_some(),
    },
    Need {
        key: "lora/dropout",
        otherwise: "in a ppo stage",
        is_met: |stage, _| !matches!(stage.kind, KindSettings::Ppo(_)) || stage.training.lora.is_none(),
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
    Need {
        key: "label_smoothing",
        otherwise: "with this `loss_type`",
        is_met: |stage, _| is_smoothed(stage),
    },
    Need {
        key: "discopop_tau",
        otherwise: "without `loss_type = \"discopop\"`",
        is_met: |stage, _| matches!(&stage.kind, KindSettings::Dpo(dpo) if dpo.discopop_tau.is_some()),
    },
    Need {
        key: "f_alpha_divergence_coef",
        otherwise: "without `f_divergence = \"alpha_divergence\"`",
        is_met: |stage, _| {
            let KindSettings::Dpo(dpo) = &stage.kind else { return false };
            matches!(dpo.f_divergence, Some(FDivergence::AlphaDivergence(_)))
        },
    },
];

/// Whether a loss of the stage has a place for wrong labels.
fn is_smoothed(stage: &StageSettings) -> bool {
    const SMOOTHED: [DpoLoss; 5] =
        [DpoLoss::Sigmoid, DpoLoss::ExoPair, DpoLoss::Robust, DpoLoss::Aot, DpoLoss::AotUnpaired];
    match &stage.kind {
        KindSettings::Dpo(dpo) => dpo.losses.iter().any(|(loss, _)| SMOOTHED.contains(loss)),
        KindSettings::Cpo(cpo) => cpo.loss == CpoLoss::Sigmoid,
        _ => true,
    }
}

pub fn check(
    checker: &mut Checker,
    recipe: &Recipe,
    data: &IndexMap<String, DataSpec>,
    stages: &[StageSettings],
) {
    for need in &NEEDS {
        let is_met = |stage: &StageSettings| (need.is_met)(stage, data.get(&stage.data));
        let message = format!("`{}` does nothing {}", need.key.replace('/', "."), need.otherwise);
        let owners = schema::kinds_with(need.key);
        let has_key = |stage: &&StageSettings| owners.is_empty() || owners.contains(&stage.kind.name());
        for (index, stage) in stages.iter().enumerate() {
            let at = format!("/stage/{index}/{}", need.key);
            // Without a tuner, `lora` is an error already.
            let is_told = need.key == "lora" && recipe_tuner(recipe, index).is_none();
            if checker.has(&at) && !is_met(stage) && !is_told {
                checker.warning(&at, message.clone());
            }
        }
        let at = format!("/defaults/{}", need.key);
        // Keys whose kinds are all missing are told of below.
        let mut owning = stages.iter().filter(has_key).peekable();
        if checker.has(&at) && owning.peek().is_some() && !owning.any(is_met) {
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
                format!("`{key}` does nothing without a stage of kind {}", wording::listed(&owners, "or"));
            checker.warning(&format!("/defaults/{key}"), message);
        }
    }
}
