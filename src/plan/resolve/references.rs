//! Names: each stage has its own, and what a stage names exists and comes before it.

use super::checker::Checker;
use super::stages::Reference;
use crate::recipe::data::RowFormat;
use crate::recipe::stage::Kind;
use crate::recipe::suggest;
use crate::recipe::written::Recipe;

pub fn check(checker: &mut Checker, recipe: &Recipe) {
    check_names(checker, recipe);
    check_data(checker, recipe);
    check_models(checker, recipe);
}

fn stages(recipe: &Recipe) -> &[crate::recipe::stage::StageTable] {
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

fn check_data(checker: &mut Checker, recipe: &Recipe) {
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
        let format = recipe.data.as_ref().and_then(|tables| tables.get(data)?.format);
        if let (Some(Kind::Dpo), Some(RowFormat::Sft)) = (stage.kind, format) {
            let table = format!("{}/format", Checker::data_table(data));
            let place = checker.document.value_place(&table);
            let message = format!("a dpo stage needs pairs of answers, and `{data}` has single ones");
            let problem = checker.error(&at, message);
            problem.related.extend(place.map(|place| (place, "no pairs".to_owned())));
        }
    }
}

/// `policy` and `reference`: unknown stages, the stage itself, later ones, circles.
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
                Some(_) => {}
            }
        }
    }
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
