//! Heads that cannot be read, or not wholly: never replaced by random weights, nor cut, in silence.

use std::collections::BTreeMap;

use serde_json::json;

use super::made::{classifier, head_of};
use super::{PAIRS, PPO, RM, recipe, scores};
use crate::adapters::desk::{Desk, Said, copy_model, edit_json};
use crate::models::folder::{Stored, Weights, read_weights, write_weights};

fn desk() -> Desk {
    let desk = Desk::new();
    desk.write("pairs.jsonl", PAIRS);
    classifier("qwen2", 1, &desk.path("reward"));
    desk
}

fn change(desk: &Desk, file: &str, change: impl FnOnce(&mut Weights)) {
    let mut weights = read_weights(&desk.path(file));
    change(&mut weights);
    write_weights(&weights, &desk.path(file));
}

/// Gives the head other names.
fn rename(desk: &Desk, to: &[&str]) {
    change(desk, "reward/model.safetensors", |weights| {
        let head = weights.remove("score.weight").unwrap();
        for name in to {
            let stored = if name.ends_with(".bias") { Stored::zeros(&[1]) } else { head.clone() };
            weights.insert((*name).to_owned(), stored);
        }
    });
}

#[track_caller]
fn both(desk: &Desk) -> [Said; 2] {
    [desk.check(), desk.run(&["run", "recipe.toml", "--fresh"])]
}

#[track_caller]
fn refused(desk: &Desk, says: &[&str]) {
    for said in both(desk) {
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
        let desk = desk();
        rename(&desk, &[name]);
        desk.recipe(&recipe("base = \"reward\"", RM));
        refused(&desk, &[name, "none that can be read", "`score.weight`"]);
        // A head that is named takes its place, and a stage that has no head passes it over.
        head_of("qwen2", &desk.path("head.safetensors"));
        desk.recipe(&recipe("base = \"reward\"\nhead = \"head.safetensors\"", RM));
        assert!(desk.check().ok);
        desk.recipe(&recipe("base = \"reward\"", "[[stage]]\nname = \"sft\"\nkind = \"sft\"\n"));
        let said = desk.check();
        assert!(said.ok && said.out.contains(name), "{}{}", said.out, said.err);
    }
}

#[test]
fn a_classifier_without_a_head_starts_with_a_new_one_and_says_so() {
    for class in ["Qwen2ForSequenceClassification", "Qwen2ForTokenClassification"] {
        let desk = desk();
        rename(&desk, &[]);
        edit_json(&desk.path("reward/config.json"), |config| config["architectures"] = json!([class]));
        desk.recipe(&recipe("base = \"reward\"", RM));
        for said in both(&desk) {
            assert!(said.ok, "{}", said.err);
        }
        let said = desk.check();
        assert!(said.out.contains("no `score.weight`") && said.out.contains("random"), "{}", said.out);
    }
}

#[test]
fn a_head_in_a_shard_is_found_by_either_name() {
    for name in ["score.weight", "v_head.summary.weight"] {
        let desk = desk();
        let wanted = scores(&desk, "reward");
        rename(&desk, &[name]);
        let whole = read_weights(&desk.path("reward/model.safetensors"));
        std::fs::remove_file(desk.path("reward/model.safetensors")).unwrap();
        let mut map = BTreeMap::new();
        for (index, (weight, stored)) in whole.iter().enumerate() {
            let file = format!("model-{:05}-of-00026.safetensors", index + 1);
            let shard = Weights::from([(weight.clone(), stored.clone())]);
            write_weights(&shard, &desk.path("reward").join(&file));
            map.insert(weight, file);
        }
        desk.write("reward/model.safetensors.index.json", &json!({ "weight_map": map }).to_string());
        assert_eq!(scores(&desk, "reward"), wanted, "{name}");
        desk.recipe(&recipe("base = \"reward\"", RM));
        desk.train();
        assert_eq!(scores(&desk, "runs/a/rm/model"), wanted, "{name}");
    }
}

#[test]
fn a_head_that_is_no_float_is_refused() {
    use safetensors::Dtype;
    for dtype in [Dtype::I8, Dtype::BOOL, Dtype::F8_E5M2, Dtype::U8] {
        let desk = desk();
        change(&desk, "reward/model.safetensors", |weights| {
            let head = Stored { dtype, shape: vec![1, 64], bytes: vec![1; 64] };
            weights.insert("score.weight".to_owned(), head);
        });
        for (model, stage) in [
            ("base = \"reward\"", RM.to_owned()),
            ("base = \"$MODEL/qwen2\"\nhead = \"reward/model.safetensors\"", RM.to_owned()),
            ("base = \"$MODEL/qwen2\"", format!("{PPO}reward = \"reward\"\n")),
        ] {
            desk.recipe(&recipe(model, &stage));
            refused(&desk, &["score.weight", &format!("{dtype:?}"), "floats"]);
        }
    }
}

#[test]
fn what_is_not_read_of_a_head_is_told_or_refused() {
    // transformers passes over a bias of a sequence classifier
    let desk = desk();
    let plain = scores(&desk, "reward");
    let bias = || Stored::of(&[1], &[3.0]);
    change(&desk, "reward/model.safetensors", |weights| {
        weights.insert("score.bias".to_owned(), bias());
    });
    for (model, stage) in [
        ("base = \"reward\"", RM.to_owned()),
        ("base = \"$MODEL/qwen2\"\nhead = \"reward/model.safetensors\"", RM.to_owned()),
        ("base = \"$MODEL/qwen2\"", format!("{PPO}reward = \"reward\"\n")),
    ] {
        desk.recipe(&recipe(model, &stage));
        let said = desk.check();
        assert!(said.ok && said.err.contains("`score.bias`"), "{}", said.err);
    }
    assert_eq!(scores(&desk, "reward"), plain);
    assert!(desk.run(&["score", "reward", "pairs.jsonl"]).err.contains("`score.bias`"));
    // and reads that of a token classifier
    edit_json(&desk.path("reward/config.json"), |config| {
        config["architectures"] = json!(["Qwen2ForTokenClassification"]);
    });
    for (found, plain) in scores(&desk, "reward").iter().zip(&plain) {
        assert!((found - plain - 3.0).abs() < 1e-5, "{found}, {plain}");
    }
    desk.recipe(&recipe("base = \"reward\"", RM));
    desk.train();
    let names = super::names(&desk.path("runs/a/rm/model/model.safetensors"));
    assert!(names.contains(&"score.bias".to_owned()), "{names:?}");
    // layers of a head that are not read make it another head
    for (weight, more) in [
        ("v_head.summary.weight", "v_head.mlp.weight"),
        ("score.weight", "score.0.weight"),
        ("v_head.summary.weight", "v_head.dense.bias"),
    ] {
        let desk = Desk::new();
        desk.write("pairs.jsonl", PAIRS);
        copy_model("qwen2", &desk.path("reward"));
        let head = Stored::of(&[1, 64], &[0.5; 64]);
        let weights = Weights::from([(weight.to_owned(), head.clone()), (more.to_owned(), head)]);
        write_weights(&weights, &desk.path("head.safetensors"));
        desk.recipe(&recipe("base = \"$MODEL/qwen2\"\nhead = \"head.safetensors\"", RM));
        refused(&desk, &[more, "several layers"]);
        write_weights(&weights, &desk.path("reward/value_head.safetensors"));
        desk.recipe(&recipe("base = \"$MODEL/qwen2\"", &format!("{PPO}reward = \"reward\"\n")));
        refused(&desk, &[more, "several layers"]);
    }
}

#[test]
fn a_bias_is_not_promised_to_a_classifier() {
    let desk = desk();
    for (key, warns) in [("head_bias = true\n", true), ("head_bias = false\n", false), ("", false)] {
        desk.recipe(&recipe("base = \"reward\"", &format!("{RM}{key}")));
        let said = desk.check();
        assert!(said.ok && said.err.contains("`head_bias` does nothing") == warns, "{key}: {}", said.err);
    }
    desk.recipe(&recipe("base = \"$MODEL/qwen2\"", &format!("{RM}head_bias = true\n")));
    assert!(!desk.check().err.contains("warning"));
}
