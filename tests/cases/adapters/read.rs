//! Adapters that can be read compute what PEFT computes with them, merged and trained further.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::made::{Made, PREFIX};
use super::workspace::{Workspace, near};

const PAIRS: &str = r#"{"prompt": "Is it so?", "chosen": "yes", "rejected": "no"}
{"prompt": "Is it far?", "chosen": "no", "rejected": "yes"}
"#;

/// Model, adapter, and PEFT's log-probabilities of chosen and rejected answers: what
/// `tests/interop/adapters.py` prints with transformers 5.24 and peft 0.21.2.
const PEFT: [(&str, &str, f64, f64); 24] = [
    ("qwen2", "plain", -25.2635, -25.1370),
    ("qwen2", "rank", -23.4049, -23.1308),
    ("qwen2", "alpha", -25.3027, -25.0723),
    ("qwen2", "rslora", -23.6608, -23.2494),
    ("qwen2", "regex", -24.7285, -24.9324),
    ("qwen2", "layers", -24.7285, -24.9324),
    ("qwen2", "saved_head", -24.6062, -24.7345),
    ("qwen2", "saved_embedding", -25.6482, -25.4060),
    ("qwen2", "saved_both", -23.4929, -23.7290),
    ("qwen2", "stored_embedding", -24.8442, -24.2493),
    ("qwen2", "lora_head", -25.6188, -25.6886),
    ("qwen2", "lora_embedding", -26.3673, -26.5523),
    ("llama3", "plain", -18.1563, -18.6480),
    ("llama3", "rank", -19.1100, -20.2451),
    ("llama3", "alpha", -18.0743, -18.6221),
    ("llama3", "rslora", -18.6360, -19.6440),
    ("llama3", "regex", -17.8910, -18.1502),
    ("llama3", "layers", -17.8910, -18.1502),
    ("llama3", "saved_head", -16.7293, -17.0796),
    ("llama3", "saved_embedding", -19.1712, -19.3771),
    ("llama3", "saved_both", -18.7292, -19.0394),
    ("llama3", "stored_embedding", -19.1712, -19.3771),
    ("llama3", "lora_head", -18.1923, -18.5439),
    ("llama3", "lora_embedding", -18.1658, -18.2700),
];

/// The same list as in `tests/interop/adapters.py`.
fn made(model: &str, kind: &str) -> Made {
    let new = || Made::new(model);
    let plain = || Made::plain(model);
    let table = new().table();
    let [rows, hidden] = table;
    let layers = new().layers();
    let less = || new().all("q_proj").on("v_proj", 0..layers, 2).with("rank_pattern", json!({ "v_proj": 2 }));
    let second = || new().on("q_proj", [1], 4).on("v_proj", [1], 4);
    let embedding = |made: Made| made.tensor("model.embed_tokens.weight", &table);
    let head = |made: Made| made.tensor("lm_head.weight", &table);
    let saved = |made: Made, names: &[&str]| made.with("modules_to_save", json!(names));
    match kind {
        "plain" => plain(),
        "rank" => less().with("alpha_pattern", json!({ "v_proj": 16 })),
        "alpha" => plain().with("alpha_pattern", json!({ r"layers\.1\.self_attn\.q_proj": 64 })),
        "rslora" => less().with("use_rslora", json!(true)),
        "regex" => second().with("target_modules", json!(r".*layers\.1\.self_attn\.(q|v)_proj")),
        "layers" => second().with("layers_to_transform", json!([1])),
        "saved_head" => saved(head(plain()), &["lm_head"]),
        "saved_embedding" => saved(embedding(plain()), &["embed_tokens"]),
        "saved_both" => saved(head(embedding(plain())), &["embed_tokens", "lm_head"]),
        "stored_embedding" => embedding(plain()),
        "lora_head" => new()
            .all("q_proj")
            .tensor("lm_head.lora_A.weight", &[4, hidden])
            .tensor("lm_head.lora_B.weight", &[rows, 4])
            .with("target_modules", json!(["q_proj", "lm_head"])),
        _ => new()
            .all("q_proj")
            .tensor("model.embed_tokens.lora_embedding_A", &[4, rows])
            .tensor("model.embed_tokens.lora_embedding_B", &[hidden, 4])
            .with("target_modules", json!(["q_proj", "embed_tokens"])),
    }
}

/// A dpo stage that looks at the pairs, and learns at `rate`.
fn recipe(model: &str, tuner: &str, rate: &str) -> String {
    format!(
        r#"
name = "a"
[model]
base = "$MODEL/{model}"
adapter = "adapter"
[data.d]
source = "pairs.jsonl"
[[stage]]
name = "dpo"
kind = "dpo"
data = "d"
max_steps = 1
batch_size = 2
logging_steps = 1
learning_rate = {rate}
{tuner}
"#
    )
}

fn lora(made: &Made) -> String {
    let rslora = made.config["use_rslora"].as_bool().unwrap();
    format!(
        r#"tuner = "lora"
lora = {{ rank = 4, alpha = 8, target_modules = ["q_proj", "v_proj"], rslora = {rslora} }}"#
    )
}

#[track_caller]
fn looks_as(workspace: &Workspace, chosen: f64, rejected: f64) {
    let metrics = workspace.metrics("a", "dpo");
    near(metrics["logps/chosen"].as_f64().unwrap(), chosen);
    near(metrics["logps/rejected"].as_f64().unwrap(), rejected);
}

#[test]
fn what_peft_reads_computes_the_same() {
    for (model, kind, chosen, rejected) in PEFT {
        let workspace = Workspace::new();
        workspace.write("pairs.jsonl", PAIRS);
        let made = made(model, kind);
        made.write(&workspace.path("adapter"));
        workspace.recipe(&recipe(model, "", "0.0"));
        workspace.train();
        looks_as(&workspace, chosen, rejected);
        workspace.recipe(&recipe(model, &lora(&made), "0.0"));
        if kind.starts_with("lora_") {
            let said = workspace.check();
            assert!(!said.ok && said.err.contains("cannot be trained further"), "{kind}: {}", said.err);
            continue;
        }
        workspace.train();
        looks_as(&workspace, chosen, rejected);
    }
}

/// A stage that changes nothing writes the same adapter, tables and patterns too; one that learns trains
/// what `modules_to_save` names and keeps the rest.
#[test]
fn an_adapter_that_is_trained_further_keeps_its_form() {
    for (kind, trained) in
        [("rank", None), ("layers", None), ("saved_head", Some("lm_head.weight")), ("stored_embedding", None)]
    {
        let workspace = Workspace::new();
        workspace.write("pairs.jsonl", PAIRS);
        let made = made("qwen2", kind);
        made.write(&workspace.path("adapter"));
        workspace.recipe(&recipe("qwen2", &lora(&made), "0.0"));
        workspace.train();
        let model = workspace.path("runs/a/dpo/model");
        let read = |path: &std::path::Path| -> BTreeMap<String, Vec<u8>> {
            let bytes = std::fs::read(path.join("adapter_model.safetensors")).unwrap();
            let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
            tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect()
        };
        let before = read(&workspace.path("adapter"));
        assert!(read(&model) == before, "{kind}");
        let text = std::fs::read(model.join("adapter_config.json")).unwrap();
        let config: Value = serde_json::from_slice(&text).unwrap();
        match kind {
            "rank" => {
                assert_eq!(config["rank_pattern"], json!({ "v_proj": 2 }));
                assert_eq!(config["alpha_pattern"], json!({ "v_proj": 16.0 }));
            }
            "saved_head" => assert_eq!(config["modules_to_save"], json!(["lm_head"])),
            "layers" => {
                let whole = ["q_proj", "v_proj"].map(|module| format!("model.layers.1.self_attn.{module}"));
                assert_eq!(config["target_modules"], json!(whole));
            }
            _ => assert_eq!(config["modules_to_save"], Value::Null),
        }
        workspace.recipe(&recipe("qwen2", &lora(&made), "1e-2"));
        workspace.train();
        let after = read(&model);
        for (name, bytes) in &before {
            let may_stay = !name.contains(".lora_") && trained.is_none_or(|table| !name.ends_with(table));
            assert_eq!(after[name] == *bytes, may_stay, "{kind}: {name}");
        }
        // and it is read again
        let form = workspace.path("again");
        std::fs::rename(&model, &form).unwrap();
        workspace.recipe(&recipe("qwen2", "", "0.0").replace("\"adapter\"", "\"again\""));
        workspace.train();
    }
}

/// An adapter whose base was given tokens before it was trained holds tables of that size.
#[test]
fn tables_of_another_vocabulary_are_named_before_the_run() {
    let workspace = Workspace::new();
    workspace.write("pairs.jsonl", PAIRS);
    let [rows, hidden] = Made::new("qwen2").table();
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
        Made::plain("qwen2").tensor(name, &[rows + 2, hidden]).write(&workspace.path("adapter"));
        workspace.recipe(&recipe("qwen2", "", "0.0"));
        for command in ["check", "run"] {
            let said = workspace.run(&[command, "recipe.toml"]);
            assert!(!said.ok, "{}", said.out);
            for part in
                [format!("{PREFIX}{name}"), "514".into(), "512".into(), "resize_token_embeddings".into()]
            {
                assert!(said.err.contains(&part), "{part}: {}", said.err);
            }
        }
    }
}
