//! The same through the commands: what `check` calls sound runs, what it refuses does not.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::folder::{Copy, EMBEDDING, HEAD, Stored, read_weights};

/// What a command said.
pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

fn command(copy: &Copy, subcommand: &str, kind: &str) -> Printed {
    let recipe = copy.recipe(kind);
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    let output = command.current_dir(copy.workspace()).arg(subcommand).arg(recipe).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Printed { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

pub fn check(copy: &Copy, kind: &str) -> Printed {
    command(copy, "check", kind)
}

pub fn run(copy: &Copy, kind: &str) -> Printed {
    command(copy, "run", kind)
}

/// What is done to a model, by the model, the kind of stage, and whether it is sound.
type Case = (&'static str, &'static str, &'static str, fn(&Copy), Result<(), &'static str>);

const CASES: [Case; 12] = [
    ("cut", "llama3", "sft", cut, Err("model.safetensors")),
    ("headless", "llama3", "sft", headless, Err("lm_head.weight")),
    ("headless rm", "llama3", "rm", headless, Ok(())),
    ("headonly", "qwen2", "sft", head_only, Ok(())),
    ("tied", "qwen2", "sft", other_head, Ok(())),
    ("null", "llama3", "sft", |copy| copy.config(json!({ "attention_bias": null })), Err("attention_bias")),
    (
        "yarn",
        "qwen2",
        "sft",
        |copy| copy.config(json!({ "rope_scaling": { "type": "yarn", "factor": 4.0 } })),
        Err("yarn"),
    ),
    ("missing shard", "qwen2", "sft", missing_shard, Err("model-00002-of-00002.safetensors")),
    ("stray", "qwen2", "sft", stray, Err("model.layers.2.")),
    ("base model", "qwen3", "sft", base_model, Ok(())),
    (
        "generation",
        "qwen3",
        "sft",
        |copy| fs::write(copy.file("generation_config.json"), "{").unwrap(),
        Err("generation_config.json"),
    ),
    ("unknown keys", "qwen3", "sft", unknown_keys, Ok(())),
];

fn cut(copy: &Copy) {
    let bytes = fs::read(copy.file("model.safetensors")).unwrap();
    fs::write(copy.file("model.safetensors"), &bytes[..bytes.len() / 2]).unwrap();
}

fn headless(copy: &Copy) {
    copy.weights(|weights| drop(weights.remove(HEAD)));
}

fn head_only(copy: &Copy) {
    copy.weights(|weights| {
        let table = weights.remove(EMBEDDING).unwrap();
        weights.insert(HEAD.to_owned(), table);
    });
}

fn other_head(copy: &Copy) {
    copy.weights(|weights| drop(weights.insert(HEAD.to_owned(), weights[EMBEDDING].rolled())));
}

fn missing_shard(copy: &Copy) {
    copy.shards(2);
    fs::remove_file(copy.file("model-00002-of-00002.safetensors")).unwrap();
}

fn stray(copy: &Copy) {
    let name = "model.layers.2.self_attn.q_proj.weight".to_owned();
    copy.weights(|weights| drop(weights.insert(name, Stored::zeros(&[64, 64]))));
}

fn base_model(copy: &Copy) {
    copy.weights(|weights| {
        let short = |name: &String| name.strip_prefix("model.").unwrap_or(name).to_owned();
        *weights = weights.iter().map(|(name, stored)| (short(name), stored.clone())).collect();
    });
}

fn unknown_keys(copy: &Copy) {
    copy.config(json!({ "frobnicate": true }));
    copy.json("generation_config.json", |config| drop(config.insert("frobs".to_owned(), Value::from(1))));
}

#[test]
fn check_and_run_agree_and_what_is_refused_is_named_before_anything_is_made() {
    for (name, model, kind, change, verdict) in CASES {
        let copy = Copy::of(model);
        change(&copy);
        let checked = check(&copy, kind);
        let ran = run(&copy, kind);
        match verdict {
            Ok(()) => {
                assert_eq!(checked.code, Some(0), "{name}: {}", checked.err);
                assert!(checked.out.contains("is sound"), "{name}: {}", checked.out);
                assert_eq!(ran.code, Some(0), "{name}: {}", ran.err);
            }
            Err(says) => {
                for said in [&checked, &ran] {
                    assert_eq!(said.code, Some(2), "{name}: {}{}", said.out, said.err);
                    assert!(said.err.contains(says), "{name}: {}", said.err);
                }
                assert!(!copy.workspace().join("runs/r/s").exists(), "{name}");
            }
        }
    }
}

#[test]
fn warnings_of_a_folder_are_shown_once_by_check_plan_and_run() {
    let copy = Copy::of("qwen3");
    unknown_keys(&copy);
    for subcommand in ["check", "plan", "run"] {
        let said = command(&copy, subcommand, "sft");
        assert_eq!(said.code, Some(0), "{}", said.err);
        let all = format!("{}{}", said.out, said.err);
        for key in ["`frobnicate`", "`frobs`"] {
            assert_eq!(all.matches(key).count(), 1, "{subcommand}: {all}");
        }
    }
}

#[test]
fn a_result_of_an_untied_head_says_that_it_is_untied() {
    let copy = Copy::of("qwen2");
    other_head(&copy);
    let said = run(&copy, "sft");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let config = fs::read(copy.workspace().join("runs/r/s/model/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["tie_word_embeddings"], json!(false));
    assert!(read_weights(&copy.workspace().join("runs/r/s/model/model.safetensors")).contains_key(HEAD));
}

/// transformers takes no whole number where it wants a float, in a base as in a result.
#[test]
fn a_result_writes_floats_as_floats() {
    let copy = Copy::of("llama3");
    copy.config(json!({ "rms_norm_eps": 1, "initializer_range": 1, "attention_dropout": 0 }));
    let said = run(&copy, "sft");
    assert_eq!(said.code, Some(0), "{}", said.err);
    let config = fs::read_to_string(copy.workspace().join("runs/r/s/model/config.json")).unwrap();
    for written in ["\"rms_norm_eps\": 1.0", "\"initializer_range\": 1.0", "\"attention_dropout\": 0,"] {
        assert!(config.contains(written), "{written}: {config}");
    }
}
