//! The ready recipes of Llama-3-8B plan as they say, with the model's config and tokenizer alone and a
//! few rows of their data sets' shapes in a Hugging Face cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};

const ROWS: usize = 100;
/// Matrices, two tables of 128256 × 4096, norms.
const PARAMETERS: u64 = 8_030_261_248;
/// Rank 8 on seven matrices of 32 layers: 8 · 32 · (2 · 8192 + 2 · 5120 + 3 · 18432).
const ADAPTER: u64 = 20_971_520;
/// A weight a hidden unit, and a bias.
const HEAD: u64 = 4097;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Writes a repository into the cache as `hf download` does.
fn cached(home: &Path, folder: &str, files: &[(&str, Vec<u8>)]) {
    let repository = home.join("hub").join(folder);
    fs::create_dir_all(repository.join("refs")).unwrap();
    fs::write(repository.join("refs/main"), "5f0b02c").unwrap();
    let snapshot = repository.join("snapshots/5f0b02c");
    fs::create_dir_all(&snapshot).unwrap();
    for (name, content) in files {
        fs::write(snapshot.join(name), content).unwrap();
    }
}

fn lines(row: impl Fn(usize) -> Value) -> Vec<u8> {
    (0..ROWS).map(|i| format!("{}\n", row(i))).collect::<String>().into_bytes()
}

fn cache(home: &Path) {
    let golden = |name: &str| fs::read(root().join("tests/golden/models/llama3").join(name)).unwrap();
    let config = json!({
        "model_type": "llama", "vocab_size": 128256, "hidden_size": 4096, "num_hidden_layers": 32,
        "num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336,
        "rms_norm_eps": 1e-5, "rope_theta": 500000.0, "max_position_embeddings": 8192,
        "tie_word_embeddings": false,
    });
    let names = ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"];
    let mut model: Vec<(&str, Vec<u8>)> = names.map(|name| (name, golden(name))).to_vec();
    model.push(("config.json", config.to_string().into_bytes()));
    cached(home, "models--meta-llama--Meta-Llama-3-8B-Instruct", &model);

    let emoji =
        |i| json!({ "question": format!("What is {i}?"), "answer_zh": "数字 😀", "answer_en": "A number." });
    cached(home, "datasets--shareAI--DPO-zh-en-emoji", &[("rows.jsonl", lines(emoji))]);
    let harmless = |i| {
        json!({
            "context": [{ "role": "human", "text": format!("{i} 是什么？") }],
            "chosen": { "role": "assistant", "text": "一个数字。" },
            "rejected": { "role": "assistant", "text": "别问了。" },
        })
    };
    cached(home, "datasets--dikw--hh_rlhf_cn", &[("harmless_base_cn_train.jsonl", lines(harmless))]);
    let labelled =
        |i| json!({ "prompt": format!("What is {i}?"), "completion": "A number.", "label": i % 2 == 0 });
    let name = "datasets--argilla--ultrafeedback-binarized-preferences-cleaned-kto";
    cached(home, name, &[("rows.jsonl", lines(labelled))]);
}

fn runner(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.args(arguments).current_dir(home).env("HF_HOME", home).env_remove("HF_HUB_CACHE");
    command.output().unwrap()
}

/// The plan of the recipe for `kind`.
fn plan(home: &Path, kind: &str) -> Value {
    let recipe = root().join(format!("recipes/llama3-8b-{kind}.toml"));
    let output = runner(home, &["plan", recipe.to_str().unwrap(), "--json"]);
    assert!(output.status.success(), "{kind}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn ready_recipes_plan_with_a_config_alone() {
    let home = tempfile::tempdir().unwrap();
    cache(home.path());
    for kind in ["dpo", "rm", "kto", "cpo", "orpo", "simpo", "ppo"] {
        let plan = plan(home.path(), kind);
        assert_eq!(plan["base"]["parameters"], PARAMETERS, "{kind}");
        let stage = plan["stages"].as_array().unwrap().last().unwrap();
        assert_eq!(stage["settings"]["kind"]["kind"], kind);
        let trained = match kind {
            "rm" => ADAPTER + HEAD,
            "ppo" => 2 * ADAPTER + HEAD,
            _ => ADAPTER,
        };
        assert_eq!(stage["trainable"], trained, "{kind}");
        // One row in a hundred is held out, by its index: the same of every data set.
        let rows = stage["counts"]["train"]["rows"].as_u64().unwrap();
        let held_out = stage["counts"]["held_out"]["rows"].as_u64().unwrap();
        assert_eq!(rows + held_out, ROWS as u64, "{kind}");
        assert!((1..=5).contains(&held_out), "{held_out}");
        // Two epochs of windows of 16 rows; PPO takes four steps on each.
        let steps = 2 * rows.div_ceil(16) * if kind == "ppo" { 4 } else { 1 };
        assert_eq!(stage["steps"]["total"], steps, "{kind}");
        let training = &stage["settings"]["training"];
        let window = training["batch_size"].as_u64().unwrap()
            * training["gradient_accumulation_steps"].as_u64().unwrap();
        assert_eq!((window, &training["learning_rate"]), (16, &json!(5e-5)), "{kind}");
        // The base and a merged copy of its layers, in float32.
        let weights = stage["memory"]["weights"].as_u64().unwrap();
        let one_model = 4 * (PARAMETERS + ADAPTER + 6_979_321_856);
        match kind {
            // A policy, a value model and a reward model on one base.
            "ppo" => assert_eq!(weights, one_model + 2 * 4 * (ADAPTER + 6_979_321_856 + HEAD)),
            "rm" => assert_eq!(weights, one_model + 4 * HEAD),
            _ => assert_eq!(weights, one_model, "{kind}"),
        }
    }
}

#[test]
fn without_weights_a_run_is_refused_and_a_check_of_one() {
    let home = tempfile::tempdir().unwrap();
    cache(home.path());
    let recipe = root().join("recipes/llama3-8b-dpo.toml");
    let recipe = recipe.to_str().unwrap();
    let planned = runner(home.path(), &["plan", recipe]);
    assert!(planned.status.success());
    assert!(String::from_utf8_lossy(&planned.stdout).contains("has no weights yet"));
    for command in ["check", "run"] {
        let output = runner(home.path(), &[command, recipe]);
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        let message = "the model folder `meta-llama/Meta-Llama-3-8B-Instruct` has no `model.safetensors`";
        assert!(said.contains(message), "{said}");
    }
    assert!(!home.path().join("runs").exists());
}
