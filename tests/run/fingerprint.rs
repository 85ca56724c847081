//! What changes a fingerprint and what does not.

use std::collections::BTreeMap;

use runner::backend::compute::Dtype;
use runner::kinds::{KindSettings, StageSettings};
use runner::plan::fingerprint::{self, DataContent, FileContent, Inputs, StageInput};
use serde_json::{Value, json};

use crate::settings::{dpo_stage, ppo, stage_of};

pub fn inputs(stage: &StageSettings) -> Inputs {
    let (numerics, settings) = fingerprint::settings(stage, Dtype::F32).unwrap();
    let hashes =
        |names: &[&str]| names.iter().map(|name| (name.to_string(), format!("hash of {name}"))).collect();
    let file = |name: &str| FileContent { name: name.to_owned(), hash: format!("hash of {name}") };
    let sft = StageInput { name: "sft".into(), fingerprint: "sft's".into() };
    Inputs {
        numerics,
        settings,
        data: DataContent { name: "pairs".into(), files: vec![file("a.jsonl"), file("b.jsonl")] },
        model: hashes(&["config.json", "model.safetensors", "chat template"]),
        stages: BTreeMap::from([("policy".to_owned(), sft)]),
        started: None,
    }
}

fn digest(inputs: &Inputs) -> String {
    inputs.fingerprint().unwrap()
}

/// The stage with the value at `pointer` replaced.
fn changed(pointer: &str, value: Value) -> StageSettings {
    changed_of(&dpo_stage(), pointer, value)
}

fn changed_of(stage: &StageSettings, pointer: &str, value: Value) -> StageSettings {
    let mut stage = serde_json::to_value(stage).unwrap();
    *stage.pointer_mut(pointer).unwrap() = value;
    serde_json::from_value(stage).unwrap()
}

#[test]
fn every_setting_counts_but_those_of_telling_and_keeping() {
    let counts = [
        ("/name", json!("dpo2")),
        ("/policy", json!("base")),
        ("/kind/reference", json!("base")),
        ("/kind/beta", json!(0.2)),
        ("/kind/loss_type", json!(["sigmoid", "sft"])),
        ("/kind/loss_weights", json!([0.5])),
        ("/kind/rpo_alpha", json!(0.1)),
        ("/kind/label_smoothing", json!(0.1)),
        ("/kind/f_divergence", json!("forward_kl")),
        ("/kind/ld_alpha", json!(0.5)),
        ("/kind/use_weighting", json!(true)),
        ("/training/tuner", json!("lora")),
        ("/training/batch_size", json!(2)),
        ("/training/gradient_accumulation_steps", json!(2)),
        ("/training/num_train_epochs", json!(2.0)),
        ("/training/max_steps", json!(9)),
        ("/training/learning_rate", json!(0.2)),
        ("/training/lr_scheduler_type", json!("cosine")),
        ("/training/min_lr_rate", json!(0.2)),
        ("/training/warmup_ratio", json!(0.1)),
        ("/training/warmup_steps", json!(3)),
        ("/training/weight_decay", json!(0.1)),
        ("/training/adam_beta1", json!(0.8)),
        ("/training/adam_beta2", json!(0.99)),
        ("/training/adam_epsilon", json!(1e-7)),
        ("/training/max_grad_norm", json!(0.0)),
        ("/training/max_length", json!(32)),
        ("/training/max_prompt_length", json!(16)),
        ("/training/gradient_checkpointing", json!(true)),
        ("/training/shuffle", json!(false)),
        ("/training/seed", json!(8)),
    ];
    let does_not_count = [
        // Only their loss and their divergence read these.
        ("/kind/discopop_tau", json!(0.1)),
        ("/kind/f_alpha_divergence_coef", json!(0.7)),
        ("/training/logging_steps", json!(10)),
        ("/training/eval_steps", json!(10)),
        ("/training/save_steps", json!(10)),
        ("/training/save_total_limit", json!(10)),
    ];
    let before = digest(&inputs(&dpo_stage()));
    for (pointer, value) in &counts {
        assert_ne!(digest(&inputs(&changed(pointer, value.clone()))), before, "{pointer}");
    }
    for (pointer, value) in &does_not_count {
        assert_eq!(digest(&inputs(&changed(pointer, value.clone()))), before, "{pointer}");
    }
    let (_, settings) = fingerprint::settings(&dpo_stage(), Dtype::Bf16).unwrap();
    assert_ne!(digest(&Inputs { settings, ..inputs(&dpo_stage()) }), before);
    // The data set's name is told, not hashed: its content is.
    assert_eq!(digest(&inputs(&changed("/data", json!("rows")))), before);
    // No key of a stage escapes this table.
    let stage = serde_json::to_value(dpo_stage()).unwrap();
    let keys = |pointer: &str| stage.pointer(pointer).unwrap().as_object().unwrap().len();
    let all = keys("") - 2 + keys("/kind") - 1 + keys("/training");
    assert_eq!(counts.len() + does_not_count.len() + 1, all);
}

#[test]
fn of_ppo_only_what_is_told_and_how_fast_it_goes_does_not_count() {
    let stage = stage_of(KindSettings::Ppo(ppo()));
    let does_not_count =
        [("/kind/local_rollout_forward_batch_size", json!(8)), ("/kind/num_sample_generations", json!(0))];
    let counts = [
        ("/kind/reward", json!("stage:rm2")),
        ("/kind/reward", json!("base")),
        ("/kind/reference", json!("base")),
        ("/kind/kl_coef", json!(0.1)),
        ("/kind/kl_estimator", json!("k3")),
        ("/kind/cliprange", json!(0.1)),
        ("/kind/vf_coef", json!(0.2)),
        ("/kind/cliprange_value", json!(0.1)),
        ("/kind/gamma", json!(0.99)),
        ("/kind/lam", json!(0.9)),
        ("/kind/whiten_rewards", json!(true)),
        ("/kind/num_ppo_epochs", json!(1)),
        ("/kind/num_mini_batches", json!(2)),
        ("/kind/response_length", json!(6)),
        ("/kind/temperature", json!(1.0)),
        ("/kind/top_k", json!(5)),
        ("/kind/top_p", json!(0.9)),
        ("/kind/missing_eos_penalty", json!(1.0)),
        ("/kind/total_episodes", json!(100)),
    ];
    let before = digest(&inputs(&stage));
    for (pointer, value) in counts {
        assert_ne!(digest(&inputs(&changed_of(&stage, pointer, value))), before, "{pointer}");
    }
    for (pointer, value) in does_not_count {
        assert_eq!(digest(&inputs(&changed_of(&stage, pointer, value))), before, "{pointer}");
    }
    // Of a folder, the content counts and not the place.
    let of_folder = |path: &str| digest(&inputs(&changed_of(&stage, "/kind/reward", json!(path))));
    assert_eq!(of_folder("/a/model"), of_folder("/b/model"));
    assert_ne!(of_folder("/a/model"), before);
}

#[test]
fn content_counts_and_names_of_data_files_do_not() {
    let plain = inputs(&dpo_stage());
    let counts: [fn(&mut Inputs); 6] = [
        |inputs| inputs.numerics += 1,
        |inputs| inputs.data.files[1].hash = "another".into(),
        |inputs| inputs.data.files.swap(0, 1),
        |inputs| drop(inputs.model.insert("model.safetensors".into(), "another".into())),
        |inputs| drop(inputs.model.insert("adapter_model.safetensors".into(), "new".into())),
        |inputs| inputs.stages.get_mut("policy").unwrap().fingerprint = "another".into(),
    ];
    for (i, change) in counts.iter().enumerate() {
        let mut other = plain.clone();
        change(&mut other);
        assert_ne!(digest(&other), digest(&plain), "change {i}");
    }
    let mut renamed = plain.clone();
    renamed.data.files[0].name = "moved/a.jsonl".into();
    renamed.data.name = "rows".into();
    renamed.started = Some("2030-01-01T00:00:00".into());
    assert_eq!(digest(&renamed), digest(&plain));
}

#[test]
fn the_digest_itself_stays() {
    // Were this to change without meaning to, every finished stage would run again.
    insta::assert_snapshot!(digest(&inputs(&dpo_stage())), @"348f69ea19c84c7bed75ba72d3b8b9bea706716a39cc6bcc9f2c92adda2b9144");
}
