//! Heads that cannot be read, or not wholly: never replaced by random weights, nor cut, in silence.

use std::collections::BTreeMap;

use serde_json::json;

use super::made::{classifier, head_of};
use super::{PAIRS, PPO, RM, recipe, scores};
use crate::adapters::workspace::{Printed, Workspace, copy_model, edit_json};
use crate::models::folder::{Stored, Weights, read_weights, write_weights};

fn workspace() -> Workspace {
    let workspace = Workspace::new();
    workspace.write("pairs.jsonl", PAIRS);
    classifier("qwen2", 1, &workspace.path("reward"));
    workspace
}

fn change(workspace: &Workspace, file: &str, change: impl FnOnce(&mut Weights)) {
    let mut weights = read_weights(&workspace.path(file));
    change(&mut weights);
    write_weights(&weights, &workspace.path(file));
}

/// Gives the head other names.
fn rename(workspace: &Workspace, to: &[&str]) {
    change(workspace, "reward/model.safetensors", |weights| {
        let head = weights.remove("score.weight").unwrap();
        for name in to {
            let stored = if name.ends_with(".bias") { Stored::zeros(&[1]) } else { head.clone() };
            weights.insert((*name).to_owned(), stored);
        }
    });
}

#[track_caller]
fn both(workspace: &Workspace) -> [Printed; 2] {
    [workspace.check(), workspace.run(&["run", "recipe.toml", "--fresh"])]
}

#[track_caller]
fn refused(workspace: &Workspace, says: &[&str]) {
    for said in both(workspace) {
        assert!(!said.ok, "{says:?}: {}", said.err);
        for words in says {
            assert!(said.err.contains(words), "{words}: {}", said.err);
        }
    }
}

#[test]
fn a_head_of_another_name_is_not_replaced_by_a_random_one() {
    for name in [
        "score.0.weight",
        "classifier.weight",
        "value_head.weight",
        "v_head.weight",
        "reward_head.weight",
        "regression_layer.weight",
    ] {
        let workspace = workspace();
        rename(&workspace, &[name]);
        workspace.recipe(&recipe("base = \"reward\"", RM));
        refused(&workspace, &[name, "none that can be read", "`score.weight`"]);
        // A head that is named takes its place, and a stage that has no head passes it over.
        head_of("qwen2", &workspace.path("head.safetensors"));
        workspace.recipe(&recipe("base = \"reward\"\nhead = \"head.safetensors\"", RM));
        assert!(workspace.check().ok);
        workspace.recipe(&recipe("base = \"reward\"", "[[stage]]\nname = \"sft\"\nkind = \"sft\"\n"));
        let said = workspace.check();
        assert!(said.ok && said.out.contains(name), "{}{}", said.out, said.err);
    }
}

#[test]
fn a_classifier_without_a_head_starts_with_a_new_one_and_says_so() {
    for class in ["Qwen2ForSequenceClassification", "Qwen2ForTokenClassification"] {
        let workspace = workspace();
        rename(&workspace, &[]);
        edit_json(&workspace.path("reward/config.json"), |config| config["architectures"] = json!([class]));
        workspace.recipe(&recipe("base = \"reward\"", RM));
        for said in both(&workspace) {
            assert!(said.ok, "{}", said.err);
        }
        let said = workspace.check();
        assert!(said.out.contains("no `score.weight`") && said.out.contains("random"), "{}", said.out);
    }
}

#[test]
fn a_head_in_a_shard_is_found_by_either_name() {
    for name in ["score.weight", "v_head.summary.weight"] {
        let workspace = workspace();
        let wanted = scores(&workspace, "reward");
        rename(&workspace, &[name]);
        let whole = read_weights(&workspace.path("reward/model.safetensors"));
        std::fs::remove_file(workspace.path("reward/model.safetensors")).unwrap();
        let mut map = BTreeMap::new();
        for (index, (weight, stored)) in whole.iter().enumerate() {
            let file = format!("model-{:05}-of-00026.safetensors", index + 1);
            let shard = Weights::from([(weight.clone(), stored.clone())]);
            write_weights(&shard, &workspace.path("reward").join(&file));
            map.insert(weight, file);
        }
        workspace.write("reward/model.safetensors.index.json", &json!({ "weight_map": map }).to_string());
        assert_eq!(scores(&workspace, "reward"), wanted, "{name}");
        workspace.recipe(&recipe("base = \"reward\"", RM));
        workspace.train();
        assert_eq!(scores(&workspace, "runs/a/rm/model"), wanted, "{name}");
    }
}

#[test]
fn a_head_that_is_no_float_is_refused() {
    use safetensors::Dtype;
    for dtype in [Dtype::I8, Dtype::BOOL, Dtype::F8_E5M2, Dtype::U8] {
        let workspace = workspace();
        change(&workspace, "reward/model.safetensors", |weights| {
            let head = Stored { dtype, shape: vec![1, 64], bytes: vec![1; 64] };
            weights.insert("score.weight".to_owned(), head);
        });
        for (model, stage) in [
            ("base = \"reward\"", RM.to_owned()),
            ("base = \"$MODEL/qwen2\"\nhead = \"reward/model.safetensors\"", RM.to_owned()),
            ("base = \"$MODEL/qwen2\"", format!("{PPO}reward = \"reward\"\n")),
        ] {
            workspace.recipe(&recipe(model, &stage));
            refused(&workspace, &["score.weight", &format!("{dtype:?}"), "floats"]);
        }
    }
}

#[test]
fn what_is_not_read_of_a_head_is_told_or_refused() {
    // transformers passes over a bias of a sequence classifier
    let workspace = workspace();
    let plain = scores(&workspace, "reward");
    let bias = || Stored::of(&[1], &[3.0]);
    change(&workspace, "reward/model.safetensors", |weights| {
        weights.insert("score.bias".to_owned(), bias());
    });
    for (model, stage) in [
        ("base = \"reward\"", RM.to_owned()),
        ("base = \"$MODEL/qwen2\"\nhead = \"reward/model.safetensors\"", RM.to_owned()),
        ("base = \"$MODEL/qwen2\"", format!("{PPO}reward = \"reward\"\n")),
    ] {
        workspace.recipe(&recipe(model, &stage));
        let said = workspace.check();
        assert!(said.ok && said.err.contains("`score.bias`"), "{}", said.err);
    }
    assert_eq!(scores(&workspace, "reward"), plain);
    assert!(workspace.run(&["score", "reward", "pairs.jsonl"]).err.contains("`score.bias`"));
    // and reads that of a token classifier
    edit_json(&workspace.path("reward/config.json"), |config| {
        config["architectures"] = json!(["Qwen2ForTokenClassification"]);
    });
    for (found, plain) in scores(&workspace, "reward").iter().zip(&plain) {
        assert!((found - plain - 3.0).abs() < 1e-5, "{found}, {plain}");
    }
    workspace.recipe(&recipe("base = \"reward\"", RM));
    workspace.train();
    let names = super::names(&workspace.path("runs/a/rm/model/model.safetensors"));
    assert!(names.contains(&"score.bias".to_owned()), "{names:?}");
    // layers of a head that are not read make it another head
    for (weight, more) in [
        ("v_head.summary.weight", "v_head.mlp.weight"),
        ("score.weight", "score.0.weight"),
        ("v_head.summary.weight", "v_head.dense.bias"),
    ] {
        let workspace = Workspace::new();
        workspace.write("pairs.jsonl", PAIRS);
        copy_model("qwen2", &workspace.path("reward"));
        let head = Stored::of(&[1, 64], &[0.5; 64]);
        let weights = Weights::from([(weight.to_owned(), head.clone()), (more.to_owned(), head)]);
        write_weights(&weights, &workspace.path("head.safetensors"));
        workspace.recipe(&recipe("base = \"$MODEL/qwen2\"\nhead = \"head.safetensors\"", RM));
        refused(&workspace, &[more, "several layers"]);
        write_weights(&weights, &workspace.path("reward/value_head.safetensors"));
        workspace.recipe(&recipe("base = \"$MODEL/qwen2\"", &format!("{PPO}reward = \"reward\"\n")));
        refused(&workspace, &[more, "several layers"]);
    }
}

#[test]
fn a_bias_is_not_promised_to_a_classifier() {
    let workspace = workspace();
    for (key, warns) in [("head_bias = true\n", true), ("head_bias = false\n", false), ("", false)] {
        workspace.recipe(&recipe("base = \"reward\"", &format!("{RM}{key}")));
        let said = workspace.check();
        assert!(said.ok && said.err.contains("`head_bias` does nothing") == warns, "{key}: {}", said.err);
    }
    workspace.recipe(&recipe("base = \"$MODEL/qwen2\"", &format!("{RM}head_bias = true\n")));
    assert!(!workspace.check().err.contains("warning"));
}
