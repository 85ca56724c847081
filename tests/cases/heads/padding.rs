//! At which token a classifier's score is read: as transformers does, at the last one that is not
//! `pad_token_id`. A value head of our own reads the last one.

use std::fs;

use serde_json::{Value, json};

use super::made::{adapter, classifier};
use super::{APART, LORA, PAIRS, RM, names, recipe, scores, scores_are, set_apart};
use crate::adapters::workspace::{Workspace, copy_model, edit_json, near};

/// Scores where the padding is the token that every text ends with, by transformers 5.24 and peft 0.21.2:
/// what `tests/interop/adapters.py` prints.
const SCORES: [(&str, &str, u32, [f64; 4]); 4] = [
    ("qwen2", "classifier", 198, [3.2820, 3.4265, 2.0766, 1.9918]),
    ("qwen2", "adapter", 198, [0.0496, 0.1244, -0.2156, -0.2980]),
    ("llama3", "classifier", 508, [0.2511, 2.6752, 3.3448, 0.0138]),
    ("llama3", "adapter", 508, [0.4762, 0.6569, 0.7596, 0.5091]),
];

/// A model `m` with that padding, and one of `SCORES` as `reward`, the adapter on `m`.
fn workspace(model: &str, kind: &str, pad: u32) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("pairs.jsonl", PAIRS);
    let pad_with = |folder: &str| {
        edit_json(&workspace.path(folder).join("config.json"), |config| config["pad_token_id"] = json!(pad));
    };
    copy_model(model, &workspace.path("m"));
    pad_with("m");
    match kind {
        "classifier" => {
            classifier(model, 1, &workspace.path("reward"));
            pad_with("reward");
        }
        _ => adapter(model).with("base_model_name_or_path", json!("../m")).write(&workspace.path("reward")),
    }
    workspace
}

#[test]
fn scores_pass_over_the_padding_as_in_transformers() {
    for (model, kind, pad, wanted) in SCORES {
        let workspace = workspace(model, kind, pad);
        scores_are(&workspace, "reward", wanted);
        let base = match kind {
            "classifier" => "base = \"reward\"",
            _ => "base = \"m\"\nadapter = \"reward\"",
        };
        for tuner in ["", LORA] {
            workspace.recipe(&recipe(base, &format!("{RM}{tuner}")));
            workspace.train();
            near(
                workspace.metrics("a", "rm")["mean_reward"].as_f64().unwrap(),
                wanted.iter().sum::<f64>() / 4.0,
            );
            // A result reads its scores where the stage did, by whichever file its head comes from.
            scores_are(&workspace, "runs/a/rm/model", wanted);
            if kind == "classifier" || !tuner.is_empty() {
                let own = set_apart(&workspace);
                fs::remove_file(own.join("value_head.safetensors")).unwrap();
                scores_are(&workspace, APART, wanted);
            }
        }
    }
}

#[test]
fn a_classifiers_head_on_another_model_is_read_where_a_classifiers_is() {
    let workspace = workspace("llama3", "classifier", 508);
    workspace.recipe(&recipe("base = \"m\"\nhead = \"reward/model.safetensors\"", RM));
    workspace.train();
    scores_are(&workspace, "runs/a/rm/model", SCORES[2].3);
}

#[test]
fn a_value_head_reads_the_last_token() {
    let workspace = workspace("llama3", "classifier", 508);
    workspace.recipe(&recipe("base = \"m\"", RM));
    workspace.train();
    let with_padding = scores(&workspace, "runs/a/rm/model");
    edit_json(&set_apart(&workspace).join("config.json"), |config| config["pad_token_id"] = Value::Null);
    assert_eq!(scores(&workspace, APART), with_padding);
    assert_eq!(
        names(&workspace.path("runs/a/rm/model/value_head.safetensors")),
        ["v_head.summary.bias", "v_head.summary.weight"]
    );
}
