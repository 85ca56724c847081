//! A lora stage whose policy already has an adapter trains that one further, so both must have the
//! same shape and scale.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::checker::Checker;
use crate::plan::settings::{LoraSettings, Source, StageSettings, TargetModules};
use crate::recipe::stage::TargetModule;

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

    /// Of `adapter_config.json`. Patterns instead of a list of modules are left to the loader.
    fn read(folder: &Path) -> Option<Self> {
        let config = std::fs::read(folder.join("adapter_config.json")).ok()?;
        let config: Value = serde_json::from_slice(&config).ok()?;
        // PEFT may name modules by their whole path: `model.layers.0.self_attn.q_proj`.
        let last = |path: &str| path.rsplit('.').next().unwrap_or(path).to_owned();
        let modules = config["target_modules"]
            .as_array()
            .map(|names| listed(names.iter().filter_map(Value::as_str).map(last).collect()));
        Some(Adapter {
            rank: config["r"].as_u64().map(|rank| rank.to_string()),
            alpha: config["lora_alpha"].as_f64().map(|alpha| alpha.to_string()),
            target_modules: modules,
            rslora: Some(config["use_rslora"].as_bool().unwrap_or(false).to_string()),
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
    let all = || TargetModule::ALL.iter().map(|module| module.name().to_owned());
    match modules {
        TargetModules::All => all().collect(),
        TargetModules::Default => {
            all().filter(|name| ["q_proj", "k_proj", "v_proj"].contains(&name.as_str())).collect()
        }
        TargetModules::List(names) => names.iter().cloned().collect(),
    }
}

fn listed(names: BTreeSet<String>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}

/// `adapter` is that of `[model]`.
pub fn check(checker: &mut Checker, stages: &[StageSettings], adapter: Option<&Path>) {
    let of_model = adapter.and_then(Adapter::read);
    for (index, stage) in stages.iter().enumerate() {
        let Some(lora) = &stage.training.lora else {
            continue;
        };
        let own = Adapter::of(lora);
        match &stage.policy {
            Source::Folder(_) => {}
            Source::Base => {
                if let Some(theirs) = &of_model {
                    let whose = "the adapter of `[model]`".to_owned();
                    compare(checker, index, stage, &own, theirs, None, whose);
                }
            }
            Source::Stage(name) => {
                let before = stages[..index].iter().position(|other| other.name == *name);
                let Some(before) = before else { continue };
                if let Some(theirs) = &stages[before].training.lora {
                    let whose = format!("the adapter of stage `{name}`");
                    let theirs = Adapter::of(theirs);
                    compare(checker, index, stage, &own, &theirs, Some(before), whose);
                }
            }
        }
    }
}

fn compare(
    checker: &mut Checker,
    index: usize,
    stage: &StageSettings,
    own: &Adapter,
    theirs: &Adapter,
    before: Option<usize>,
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
        let place = match before {
            Some(before) => checker.stage_key_place(before, &pointer),
            None => checker.document.value_place("/model/adapter"),
        };
        let problem = checker.error(&at, message);
        problem.related.extend(place.map(|place| (place, "there".to_owned())));
        problem.help = Some(match before {
            Some(_) => "write `lora` once, in `[defaults]`".to_owned(),
            None => format!("set `{key}` of `lora` to that of the adapter"),
        });
    }
}
