//! A lora stage whose policy already has an adapter trains that one further, so both must have the
//! same shape and scale.

use std::collections::BTreeSet;
use std::path::Path;

use super::checker::Checker;
use crate::kinds::{Source, StageSettings};
use crate::model::tuner::{LoraSettings, TargetModules, adapter};
use crate::recipe::diagnostics::Location;

/// What two adapters must agree in.
struct Adapter {
    rank: Option<String>,
    alpha: Option<String>,
    target_modules: Option<String>,
    rslora: Option<String>,
}

impl Adapter {
    fn of(lora: &LoraSettings) -> Self {
        Adapter {
            rank: Some(lora.rank.to_string()),
            alpha: Some(lora.alpha.to_string()),
            target_modules: Some(listed(module_names(&lora.target_modules))),
            rslora: Some(lora.rslora.to_string()),
        }
    }

    /// Of an adapter in a folder; `None` if it cannot be opened, which is told elsewhere.
    fn read(folder: &Path) -> Option<Self> {
        let adapter = adapter::Adapter::open(folder).ok()?;
        let modules = adapter.modules();
        Some(Adapter {
            rank: Some(adapter.config.rank.to_string()),
            alpha: Some(adapter.config.alpha.to_string()),
            target_modules: (!modules.is_empty()).then(|| listed(modules)),
            rslora: Some(adapter.config.rslora.to_string()),
        })
    }

    fn keys(&self) -> [(&'static str, &Option<String>); 4] {
        [
            ("rank", &self.rank),
            ("alpha", &self.alpha),
            ("target_modules", &self.target_modules),
            ("rslora", &self.rslora),
        ]
    }
}

fn module_names(modules: &TargetModules) -> BTreeSet<String> {
    modules.of_layer().iter().map(|module| module.name().to_owned()).collect()
}

fn listed(names: BTreeSet<String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// `adapter` is that of `[model]`.
pub fn check(checker: &mut Checker, stages: &[StageSettings], adapter: Option<&Path>) {
    let of_model = adapter.and_then(Adapter::read);
    for (index, stage) in stages.iter().enumerate() {
        let Some(lora) = stage.training.tuner.lora() else {
            continue;
        };
        let own = Adapter::of(lora);
        match &stage.policy {
            Source::Folder(folder) => {
                if let Some(theirs) = Adapter::read(folder) {
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
                if let Some(theirs) = stages[before].training.tuner.lora() {
                    let whose = format!("the adapter of stage `{name}`");
                    let theirs = Adapter::of(theirs);
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
    own: &Adapter,
    theirs: &Adapter,
    before: Whose,
    whose: String,
) {
    for ((key, own), (_, theirs)) in own.keys().into_iter().zip(theirs.keys()) {
        let (Some(own), Some(theirs)) = (own, theirs) else {
            continue;
        };
        let pointer = format!("lora/{key}");
        let at = checker.stage_key(index, &pointer);
        if own == theirs || checker.document.is_refused(&at) {
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
