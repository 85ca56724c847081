//! A lora stage whose policy already has an adapter trains that one further, so both must have the
//! same shape and scale.

use std::path::Path;

use super::checker::Checker;
use crate::kinds::{Source, StageSettings};
use crate::model::tuner::adapter::{Adapter, AdapterShape, Difference};
use crate::recipe::diagnostics::Location;

/// Of an adapter in a folder; `None` if it cannot be opened, which is told elsewhere.
fn stored(folder: &Path) -> Option<AdapterShape> {
    Adapter::open(folder).ok().map(|adapter| AdapterShape::of_stored(&adapter))
}

/// Errors if the path of a base is not UTF-8, as an adapter's configuration names it.
pub fn check_path(checker: &mut Checker, stages: &[StageSettings], base: Option<&Path>) {
    let trained = stages.iter().position(|stage| stage.training.tuner.is_adapter());
    let (Some(index), Ok(here)) = (trained, std::env::current_dir()) else { return };
    let whole = |path: &Path| here.join(path).canonicalize().unwrap_or_else(|_| here.join(path));
    let paths = [Some(here.as_path()), base].into_iter().flatten().map(whole);
    let Some(path) = paths.into_iter().find(|path| path.to_str().is_none()) else { return };
    let at = checker.stage_key(index, "tuner");
    let message = format!(
        "the path `{}` is not UTF-8, and the `adapter_config.json` of a result, which names its base, can hold \
         no other",
        path.display()
    );
    checker.error(&at, message).help = Some("rename that folder".to_owned());
}

/// `adapter` is that of `[model]`.
pub fn check(checker: &mut Checker, stages: &[StageSettings], adapter: Option<&Path>) {
    let of_model = adapter.and_then(stored);
    for (index, stage) in stages.iter().enumerate() {
        let Some(own) = AdapterShape::of(&stage.training.tuner) else { continue };
        match &stage.policy {
            Source::Folder(folder) => {
                if let Some(theirs) = stored(folder) {
                    let whose = "the adapter of its `policy`".to_owned();
                    let at = checker.stage_key_place(index, "policy");
                    compare(checker, index, stage, &own, &theirs, Whose::Files(at), whose);
                }
            }
            Source::Base => {
                if let Some(theirs) = &of_model {
                    let whose = "the adapter of `[model]`".to_owned();
                    let at = checker.document.value_place("/model/adapter");
                    compare(checker, index, stage, &own, theirs, Whose::Files(at), whose);
                }
            }
            Source::Stage(name) => {
                let before = stages[..index].iter().position(|other| other.name == *name);
                let Some(before) = before else { continue };
                if let Some(theirs) = AdapterShape::of(&stages[before].training.tuner) {
                    let whose = format!("the adapter of stage `{name}`");
                    compare(checker, index, stage, &own, &theirs, Whose::Stage(before), whose);
                }
            }
        }
    }
}

/// Where an adapter comes from.
enum Whose {
    /// The stage of that index.
    Stage(usize),
    /// A folder, which is named there.
    Files(Option<Location>),
}

fn compare(
    checker: &mut Checker,
    index: usize,
    stage: &StageSettings,
    own: &AdapterShape,
    theirs: &AdapterShape,
    before: Whose,
    whose: String,
) {
    for Difference { key, own, theirs } in own.differences(theirs) {
        let pointer = format!("lora/{key}");
        let at = checker.stage_key(index, &pointer);
        if checker.document.is_refused(&at) {
            continue;
        }
        let message = format!(
            "stage `{}` continues {whose}, so `{key}` must be the same: `{own}` here, `{theirs}` there",
            stage.name
        );
        let place = match &before {
            Whose::Stage(before) => checker.stage_key_place(*before, &pointer),
            Whose::Files(place) => place.clone(),
        };
        let problem = checker.error(&at, message);
        problem.related.extend(place.map(|place| (place, "there".to_owned())));
        problem.help = Some(match &before {
            Whose::Stage(_) => "write `lora` once, in `[defaults]`".to_owned(),
            Whose::Files(_) => format!("set `{key}` of `lora` to that of the adapter"),
        });
    }
}
