//! A check calls an adapter sound exactly when a run can use it, over adapters sound and broken.

use std::fs;

use proptest::prelude::*;
use serde_json::json;

use super::made::Made;
use super::workspace::Workspace;

const PAIRS: &str = r#"{"prompt": "Is it so?", "chosen": "yes", "rejected": "no"}"#;
const MODULES: [&str; 7] = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];

/// What is done to an adapter before it is written.
#[derive(Debug, Clone)]
enum Change {
    Nothing,
    WithoutB,
    WithoutA,
    /// The configuration says another rank than the matrices have.
    OtherRank,
    RankPattern(bool),
    AlphaPattern,
    Transposed,
    WrongWidth,
    Extra(&'static str, Vec<usize>),
    Key(&'static str, serde_json::Value),
    /// Cut to that share of the file, in percent.
    Cut(usize),
    NotJson,
    LaterLayer,
    SavedHead(isize),
    SavedEmbedding,
    SavedWithoutTensor,
    Untargeted,
    NoWeights,
    Empty,
}

fn changes() -> impl Strategy<Value = Change> {
    let keys = prop_oneof![
        Just(("use_dora", json!(true))),
        Just(("use_dora", json!(false))),
        Just(("lora_bias", json!(true))),
        Just(("init_lora_weights", json!("pissa"))),
        Just(("init_lora_weights", json!("gaussian"))),
        Just(("of_next_year", json!(1))),
        Just(("of_next_year", json!(null))),
        Just(("exclude_modules", json!(["nothing"]))),
        Just(("rank_pattern", json!({ "v_(": 2 }))),
        Just(("r", json!(-1))),
        Just(("task_type", json!("SEQ_CLS"))),
        Just(("task_type", json!(null))),
        Just(("task_type", json!("TOKEN_CLS"))),
        Just(("layers_to_transform", json!([0, 1, 2, 3, 4, 5, 6, 7]))),
        Just(("modules_to_save", json!(["score"]))),
        Just(("eva_config", json!({ "rho": 2.0 }))),
    ];
    let extra = prop_oneof![
        Just(("score.weight", vec![1, 64])),
        Just(("score.weight", vec![3, 64])),
        Just(("lm_head.weight", vec![512, 64])),
        Just(("model.norm.weight", vec![64])),
        Just(("model.embed_tokens.weight", vec![514, 64])),
        Just(("model.layers.0.self_attn.q_proj.lora_magnitude_vector", vec![64])),
    ];
    prop_oneof![
        3 => Just(Change::Nothing),
        1 => Just(Change::WithoutB),
        1 => Just(Change::WithoutA),
        1 => Just(Change::OtherRank),
        1 => any::<bool>().prop_map(Change::RankPattern),
        1 => Just(Change::AlphaPattern),
        1 => Just(Change::Transposed),
        1 => Just(Change::WrongWidth),
        3 => extra.prop_map(|(name, shape)| Change::Extra(name, shape)),
        5 => keys.prop_map(|(key, value)| Change::Key(key, value)),
        2 => (0usize..100).prop_map(Change::Cut),
        1 => Just(Change::NotJson),
        1 => Just(Change::LaterLayer),
        1 => (-1isize..2).prop_map(Change::SavedHead),
        1 => Just(Change::SavedEmbedding),
        1 => Just(Change::SavedWithoutTensor),
        1 => Just(Change::Untargeted),
        1 => Just(Change::NoWeights),
        1 => Just(Change::Empty),
    ]
}

#[derive(Debug, Clone)]
struct Case {
    model: &'static str,
    modules: Vec<&'static str>,
    rank: usize,
    change: Change,
    lora: bool,
}

fn cases() -> impl Strategy<Value = Case> {
    let model = prop::sample::select(vec!["llama3", "mistral", "qwen2", "qwen3"]);
    let modules = prop::sample::subsequence(MODULES.to_vec(), 1..4);
    (model, modules, 1usize..6, changes(), any::<bool>())
        .prop_map(|(model, modules, rank, change, lora)| Case { model, modules, rank, change, lora })
}

fn write(case: &Case, workspace: &Workspace) {
    let mut made = Made::new(case.model).with("r", json!(case.rank));
    let (layers, [rows, hidden]) = (made.layers(), made.table());
    for module in &case.modules {
        made = made.on(module, 0..layers, case.rank);
    }
    let first = case.modules[0];
    let folder = workspace.path("adapter");
    let file = folder.join("adapter_model.safetensors");
    made = match &case.change {
        Change::WithoutB => made.without("1.self_attn.q_proj.lora_B").without("1.mlp.up_proj.lora_B"),
        Change::WithoutA => made.without("0.self_attn.v_proj.lora_A"),
        Change::OtherRank => made.with("r", json!(case.rank + 1)),
        Change::RankPattern(fits) => {
            let rank = if *fits { case.rank } else { case.rank + 3 };
            made.with("rank_pattern", json!({ first: rank }))
        }
        Change::AlphaPattern => made.with("alpha_pattern", json!({ format!(".*{first}"): 32 })),
        Change::Transposed => {
            made.shapes.values_mut().filter(|shape| shape[0] == case.rank).for_each(|shape| shape.reverse());
            made
        }
        Change::WrongWidth => {
            if let Some(shape) = made.shapes.values_mut().next() {
                shape[1] += 1;
            }
            made
        }
        Change::Extra(name, shape) => made.tensor(name, shape),
        Change::Key(key, value) => made.with(key, value.clone()),
        Change::LaterLayer => made.on(first, [layers], case.rank),
        Change::SavedHead(more) => {
            let rows = rows.checked_add_signed(*more).unwrap();
            made.tensor("lm_head.weight", &[rows, hidden]).with("modules_to_save", json!(["lm_head"]))
        }
        Change::SavedEmbedding => made
            .tensor("model.embed_tokens.weight", &[rows, hidden])
            .with("modules_to_save", json!(["model.embed_tokens"])),
        Change::SavedWithoutTensor => made.with("modules_to_save", json!(["lm_head"])),
        Change::Untargeted => made.with("target_modules", json!(["nothing"])),
        Change::Empty => made.without("lora"),
        Change::Nothing | Change::Cut(_) | Change::NotJson | Change::NoWeights => made,
    };
    made.write(&folder);
    match &case.change {
        Change::Cut(percent) => {
            let bytes = fs::read(&file).unwrap();
            fs::write(&file, &bytes[..bytes.len() * percent / 100]).unwrap();
        }
        Change::NotJson => fs::write(folder.join("adapter_config.json"), "{").unwrap(),
        Change::NoWeights => fs::remove_file(&file).unwrap(),
        _ => {}
    }
    let lora = match case.lora {
        true => format!(
            "tuner = \"lora\"\nlora = {{ rank = {}, alpha = 8, target_modules = {} }}",
            made.config["r"].as_i64().unwrap().max(1),
            json!(case.modules)
        ),
        false => String::new(),
    };
    workspace.write("pairs.jsonl", PAIRS);
    workspace.recipe(&format!(
        r#"
name = "a"
[model]
base = "$MODEL/{}"
adapter = "adapter"
[data.d]
source = "pairs.jsonl"
[[stage]]
name = "dpo"
kind = "dpo"
data = "d"
max_steps = 1
batch_size = 1
{lora}
"#,
        case.model
    ));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// The loader is asked directly, past every check: what a check lets through, it loads, and what a
    /// check refuses, it refuses too.
    #[test]
    fn a_check_and_the_loader_agree(case in cases()) {
        use runner::model::artifact::Artifact;
        use runner::model::config::Config;
        use runner::model::policy::Models;
        use runner::model::tuner::{LoraSettings, Tuner};

        let workspace = Workspace::new();
        write(&case, &workspace);
        let said = workspace.check();
        let base = super::workspace::models().join(case.model);
        prop_assert!(Config::read(&base).is_ok());
        let input = Artifact { base, adapter: Some(workspace.path("adapter")), head: None };
        let config: serde_json::Value = fs::read(workspace.path("adapter/adapter_config.json"))
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        let lora = LoraSettings {
            rank: config["r"].as_u64().unwrap_or(4) as usize,
            alpha: 8.0,
            target_modules: serde_json::from_value(json!(case.modules)).unwrap(),
            ..LoraSettings::default()
        };
        let tuner = if case.lora { Tuner::Lora(lora) } else { Tuner::Full };
        let loaded = Models::default().trained(&input, &tuner, 1);
        match loaded {
            Ok(_) => prop_assert!(said.ok, "refused, and it loads: {}", said.err),
            Err(error) => prop_assert!(!said.ok, "sound, and the loader says: {error:#}"),
        }
    }
}

/// The same of the whole program, on some.
#[test]
fn a_check_and_a_run_agree() {
    let changes = [
        Change::Nothing,
        Change::WithoutB,
        Change::RankPattern(true),
        Change::RankPattern(false),
        Change::AlphaPattern,
        Change::Cut(50),
        Change::SavedHead(0),
        Change::SavedHead(1),
        Change::SavedEmbedding,
        Change::Key("use_dora", json!(true)),
        Change::Extra("score.weight", vec![1, 64]),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let workspace = Workspace::new();
        let model = ["llama3", "qwen2"][index % 2];
        let case = Case { model, modules: vec!["q_proj", "up_proj"], rank: 3, change, lora: index % 3 != 0 };
        write(&case, &workspace);
        let (check, run) = (workspace.check(), workspace.run(&["run", "recipe.toml"]));
        assert_eq!(check.ok, run.ok, "{case:?}: {} / {}", check.err, run.err);
    }
}
