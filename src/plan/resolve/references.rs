//! Names: each stage has its own, and what a stage names exists and comes before it.

use indexmap::IndexMap;

use super::checker::Checker;
use super::formats;
use super::stages::Reference;
use crate::data::spec::DataSpec;
use crate::recipe::stage::{Kind, StageTable};
use crate::recipe::suggest;
use crate::recipe::written::Recipe;

pub fn check(checker: &mut Checker, recipe: &Recipe, data: &IndexMap<String, DataSpec>) {
    check_names(checker, recipe);
    check_data(checker, recipe, data);
    check_models(checker, recipe);
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

fn check_data(checker: &mut Checker, recipe: &Recipe, tables: &IndexMap<String, DataSpec>) {
    for (index, stage) in stages(recipe).iter().enumerate() {
        let at = checker.stage_key(index, "data");
        let Some(data) = &stage.training.data else {
            if !checker.document.is_refused(&at) {
                let name = stage.name.as_deref().unwrap_or("?");
                checker.error(&at, format!("stage `{name}` has no `data`")).help =
                    Some("name a `[data.NAME]` table: `data = \"NAME\"`".to_owned());
            }
            continue;
        };
        super::data::check_name(checker, recipe, &at, data);
        if let Some(spec) = tables.get(data) {
            formats::check(checker, index, stage, spec);
        }
    }
}

/// `policy`, `reference` and `reward`: unknown stages, the stage itself, later ones, circles, reward
/// models where policies belong and the other way round.
fn check_models(checker: &mut Checker, recipe: &Recipe) {
    let stages = stages(recipe);
    let names: Vec<&str> = stages.iter().filter_map(|stage| stage.name.as_deref()).collect();
    let position = |name: &str| stages.iter().position(|s| s.name.as_deref() == Some(name));
    let mut told: Vec<Vec<usize>> = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        for reference in Reference::of(stage) {
            let at = checker.stage_key(index, reference.key);
            let Some(target) = reference.stage else {
                continue;
            };
            let own = stage.name.as_deref().unwrap_or("?");
            match position(target) {
                None => {
                    let help = match is_data(recipe, target) {
                        true => Some(format!("`{target}` is data; `{}` names a model", reference.key)),
                        false => suggest::nearest(target, names.iter().copied())
                            .map(|name| format!("did you mean `stage:{name}`?"))
                            .or_else(|| Some(format!("stages: {}", suggest::quoted(&names)))),
                    };
                    checker.error(&at, format!("no stage is named `{target}`")).help = help;
                }
                Some(other) if other == index => {
                    let message = format!("stage `{own}` cannot have its own result as `{}`", reference.key);
                    checker.error(&at, message).help = Some("name a stage before it, or `base`".to_owned());
                }
                Some(other) if other > index => {
                    if let Some(circle) = circle(recipe, index) {
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
                Some(other) => check_role(checker, &at, reference.key, stage, &stages[other]),
            }
        }
    }
}

/// An earlier stage in the role that `key` gives it in `stage`.
fn check_role(checker: &mut Checker, at: &str, key: &str, stage: &StageTable, other: &StageTable) {
    let (Some(kind), Some(of_other)) = (stage.kind, other.kind) else { return };
    let (own, target) = (stage.name.as_deref().unwrap_or("?"), other.name.as_deref().unwrap_or("?"));
    let is_reward = of_other == Kind::Rm;
    let (message, help) = match key {
        "reward" if !is_reward => (
            format!("`{target}` is a policy (kind {}), not a reward model", of_other.name()),
            "name a stage of kind rm",
        ),
        "policy" if is_reward && kind != Kind::Rm => (
            format!("`{target}` is a reward model, and stage `{own}` trains a policy"),
            "name a stage of another kind, or `base`",
        ),
        "reference" if is_reward => (
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
fn circle(recipe: &Recipe, start: usize) -> Option<Vec<usize>> {
    let stages = stages(recipe);
    let mut paths = vec![vec![start]];
    let mut seen = vec![false; stages.len()];
    while let Some(path) = paths.pop() {
        let last = *path.last()?;
        for reference in Reference::of(&stages[last]) {
            let next = stages.iter().position(|s| s.name.is_some() && s.name.as_deref() == reference.stage);
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
