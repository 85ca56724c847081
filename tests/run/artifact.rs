//! Which base and which adapter a stage's result is.

use std::path::PathBuf;

use runner::kinds::{KindSettings, RmSettings, Source, StageSettings};
use runner::model::artifact::Artifact;
use runner::model::tuner::{LoraSettings, Tuner};
use runner::plan::artifacts::Artifacts;
use runner::plan::folder::RunFolder;

use crate::settings::dpo_stage;

fn stage(name: &str, policy: Source, lora: bool) -> StageSettings {
    let mut stage = dpo_stage();
    stage.name = name.to_owned();
    stage.policy = policy;
    stage.training.tuner = if lora { Tuner::Lora(LoraSettings::default()) } else { Tuner::Full };
    stage
}

#[test]
fn adapters_stay_on_their_base_until_a_full_stage_makes_a_base_of_its_own() {
    let after = |name: &str| Source::Stage(name.to_owned());
    let stages = [
        stage("a", Source::Base, true),
        stage("b", after("a"), true),
        stage("c", after("b"), false),
        stage("d", after("c"), true),
    ];
    let artifact = |base: &str, adapter: Option<&str>| Artifact {
        base: base.into(),
        adapter: adapter.map(PathBuf::from),
        head: None,
    };
    let base = artifact("llama", Some("start"));
    let artifacts = Artifacts::of(base.clone(), &stages, &RunFolder::of("r"));
    assert_eq!(artifacts.get(&Source::Base), base);
    assert_eq!(artifacts.get(&after("a")), artifact("llama", Some("runs/r/a/model")));
    assert_eq!(artifacts.get(&after("b")), artifact("llama", Some("runs/r/b/model")));
    assert_eq!(artifacts.get(&after("c")), artifact("runs/r/c/model", None));
    assert_eq!(artifacts.get(&after("d")), artifact("runs/r/c/model", Some("runs/r/d/model")));
}

#[test]
fn a_reward_model_has_a_head_and_may_lie_in_a_folder() {
    let mut rm = stage("rm", Source::Base, true);
    rm.kind = KindSettings::Rm(RmSettings { center_rewards_coefficient: 0.0, head_bias: true });
    let base =
        Artifact { base: "llama".into(), adapter: None, head: Some("start/value_head.safetensors".into()) };
    let artifacts = Artifacts::of(base.clone(), &[rm], &RunFolder::of("r"));
    assert_eq!(artifacts.get(&Source::Base), base);
    let of_stage = Artifact {
        base: "llama".into(),
        adapter: Some("runs/r/rm/model".into()),
        head: Some("runs/r/rm/model/value_head.safetensors".into()),
    };
    assert_eq!(artifacts.get(&Source::Stage("rm".into())), of_stage);
    let of_folder = Artifact {
        base: "tests/recipes/files/reward".into(),
        adapter: None,
        head: Some("tests/recipes/files/reward/value_head.safetensors".into()),
    };
    assert_eq!(artifacts.get(&Source::Folder("tests/recipes/files/reward".into())), of_folder);
}
