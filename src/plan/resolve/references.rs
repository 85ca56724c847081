//! Names: each stage has its own, and what a stage names exists and comes before it.

use indexmap::IndexMap;

use super::checker::Checker;
use super::formats;
use crate::data::spec::DataSpec;
use crate::kinds::{Role, Source, StageSettings, Trains};
use crate::recipe::stage::StageTable;
use crate::recipe::suggest;
use crate::recipe::written::Recipe;

pub fn check(
    checker: &mut Checker,
    recipe: &Recipe,
    settings: &[StageSettings],
    data: &IndexMap<String, DataSpec>,
) {
    check_names(checker, recipe);
    check_data(checker, recipe, settings, data);
    check_models(checker, recipe, settings);
}

fn stages(recipe: &Recipe) -> &[StageTable] {
    recipe.stage.as_deref().unwrap_or_default()
}

fn check_names(checker: &mut Checker, recipe: &Recipe) {
    let stages = stages(recipe);
    for (index, stage) in stages.iter().enumerate() {
        let first = stages[..index].iter().position(|other| other.name == stage.name);
        if let (Some(name), Some(first)) = (&stage.name, first) {
            let place = checker.document.value_place(&format!("/stage/{first}/name"));
            let message = format!("two stages are named `{name}`");
            let problem = checker.error(&format!("/stage/{index}/name"), message);
            problem.related.extend(place.map(|place| (place, "the first".to_owned())));
        }
    }
}

fn check_data(
    checker: &mut Checker,
    recipe: &Recipe,
    settings: &[StageSettings],
    tables: &IndexMap<String, DataSpec>,
) {
    for (index, (stage, settings)) in stages(recipe).iter().zip(settings).enumerate() {
        let at = checker.stage_key(index, "data");
        let Some(data) = &stage.common.data else {
            if !checker.document.is_refused(&at) {
                let name = stage.name.as_deref().unwrap_or("?");
                checker.error(&at, format!("stage `{name}` has no `data`")).help =
                    Some("name a `[data.NAME]` table: `data = \"NAME\"`".to_owned());
            }
            continue;
        };
        super::data::check_name(checker, recipe, &at, data);
        if let (Some(spec), Some(_)) = (tables.get(data), stage.kind) {
            formats::check(checker, index, settings, spec);
        }
    }
}

/// `policy`, `reference` and `reward`: unknown stages, the stage itself, later ones, circles, reward
/// models where policies belong and the other way round.
fn check_models(checker: &mut Checker, recipe: &Recipe, settings: &[StageSettings]) {
    let stages = stages(recipe);
    let names: Vec<&str> = stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
    let position = |name: &str| stages.iter().position(|s| s.name.as_deref() == Some(name));
    let mut told: Vec<Vec<usize>> = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        for (role, source) in settings[index].sources() {
            let at = checker.stage_key(index, role.key());
            let Source::Stage(target) = source else {
                continue;
            };
            let own = stage.name.as_deref().unwrap_or("?");
            match position(target) {
                None => {
                    let help = match is_data(recipe, target) {
                        true => Some(format!("`{target}` is data; `{}` names a model", role.key())),
                        false => suggest::nearest(target, names.iter().copied())
                            .map(|name| format!("did you mean `stage:{name}`?"))
                            .or_else(|| Some(format!("stages: {}", suggest::quoted(&names)))),
                    };
                    checker.error(&at, format!("no stage is named `{target}`")).help = help;
                }
                Some(other) if other == index => {
                    let message = format!("stage `{own}` cannot have its own result as `{}`", role.key());
                    checker.error(&at, message).help = Some("name a stage before it, or `base`".to_owned());
                }
                Some(other) if other > index => {
                    if let Some(circle) = circle(settings, index) {
                        let mut members = circle.clone();
                        members.sort_unstable();
                        if !told.contains(&members) {
                            let path: Vec<String> = circle
                                .iter()
                                .chain(circle.first())
                                .map(|i| format!("`{}`", stages[*i].name.as_deref().unwrap_or("?")))
                                .collect();
                            let message = format!("stages wait for each other: {}", path.join(" → "));
                            checker.error(&at, message).help =
                                Some("let one of them start from `base`".to_owned());
                            told.push(members);
                        }
                    } else {
                        let place = checker.document.value_place(&format!("/stage/{other}/name"));
                        let message = format!("stage `{own}` needs `{target}`, which comes later");
                        let problem = checker.error(&at, message);
                        problem.help = Some(format!("move the `[[stage]]` of `{target}` up"));
                        problem.related.extend(place.map(|place| (place, "later".to_owned())));
                    }
                }
                Some(other) if stage.kind.is_some() && stages[other].kind.is_some() => {
                    check_role(checker, &at, role, &settings[index], &settings[other]);
                }
                Some(_) => {}
            }
        }
    }
}

/// An earlier stage in a role for `stage`.
fn check_role(checker: &mut Checker, at: &str, role: Role, stage: &StageSettings, other: &StageSettings) {
    let is_reward = |stage: &StageSettings| matches!(stage.kind.facts().trains, Trains::RewardModel { .. });
    let named =
        |stage: &StageSettings| if stage.name.is_empty() { "?".to_owned() } else { stage.name.clone() };
    let (own, target) = (named(stage), named(other));
    let (message, help) = match role {
        Role::Reward if !is_reward(other) => (
            format!("`{target}` is a policy (kind {}), not a reward model", other.kind.name()),
            "name a stage of kind rm",
        ),
        Role::Policy if is_reward(other) && !is_reward(stage) => (
            format!("`{target}` is a reward model, and stage `{own}` trains a policy"),
            "name a stage of another kind, or `base`",
        ),
        Role::Reference if is_reward(other) => (
            format!("`{target}` is a reward model, not a policy to compare with"),
            "name a stage of another kind, or `base`",
        ),
        _ => return,
    };
    checker.error(at, message).help = Some(help.to_owned());
}

fn is_data(recipe: &Recipe, name: &str) -> bool {
    recipe.data.as_ref().is_some_and(|tables| tables.contains_key(name))
}

/// The stages from `start` back to it along what each needs, if there is such a way.
fn circle(stages: &[StageSettings], start: usize) -> Option<Vec<usize>> {
    let mut paths = vec![vec![start]];
    let mut seen = vec![false; stages.len()];
    while let Some(path) = paths.pop() {
        let last = *path.last()?;
        for (_, source) in stages[last].sources() {
            let Source::Stage(name) = source else { continue };
            let next = stages.iter().position(|stage| !stage.name.is_empty() && stage.name == *name);
            match next {
                Some(next) if next == start => return Some(path),
                Some(next) if !seen[next] => {
                    seen[next] = true;
                    paths.push(path.iter().copied().chain([next]).collect());
                }
                _ => {}
            }
        }
    }
    None
}
