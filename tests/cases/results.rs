//! Results stop in Python, and may be read by whom the umask lets.

use std::fs;

use serde_json::{Value, json};

use crate::workbench::Workbench;

/// Stages that train on one question and its answer: an adapter, an adapter on that, and the whole model.
fn recipe(name: &str, steps: u64) -> String {
    format!(
        r#"name = "{name}"
[model]
base = "m"
[data.d]
source = "rows.jsonl"
[defaults]
data = "d"
max_steps = {steps}
learning_rate = 3e-3
lora = {{ rank = 8, alpha = 16 }}
[[stage]]
name = "lora"
kind = "sft"
tuner = "lora"
[[stage]]
name = "again"
kind = "sft"
tuner = "lora"
max_steps = 1
[[stage]]
name = "full"
kind = "sft"
tuner = "full"
policy = "base"
[[stage]]
name = "more"
kind = "sft"
tuner = "full"
max_steps = 1
"#
    )
}

/// What `folder` says of how answers end: `generation_config.json`, `config.json`, the tokenizer.
fn ends(bench: &Workbench, folder: &str) -> (Value, Value, Value) {
    let generation = bench.json(&format!("{folder}/generation_config.json"));
    let config = format!("{folder}/config.json");
    let config = if bench.path(&config).exists() { bench.json(&config) } else { Value::Null };
    let tokenizer = bench.json(&format!("{folder}/tokenizer_config.json"));
    assert!(bench.path(&format!("{folder}/chat_template.jinja")).exists());
    (generation["eos_token_id"].clone(), config["eos_token_id"].clone(), tokenizer["eos_token"].clone())
}

/// Leaves each stage's result with the question and the answer for `tests/interop/generate_stops.py`.
fn leave(bench: &Workbench, name: &str, question: &str, answer: &str) {
    for stage in ["lora", "again", "full", "more"] {
        let asked = json!({ "question": question, "answer": answer });
        bench.write(&format!("runs/{name}/{stage}/asked.json"), &asked.to_string());
        let samples = fs::read_to_string(bench.path(&format!("runs/{name}/{stage}/samples.jsonl"))).unwrap();
        let last: Value = serde_json::from_str(samples.lines().last().unwrap()).unwrap();
        assert_eq!(last["answer"], answer, "{stage} has not learnt its row: {samples}");
    }
}

/// Qwen2.5 and Llama 3 base models: a text ends with one token, the template's turns with another.
#[test]
fn a_base_model_with_another_end_token_learns_to_stop() {
    let bench = Workbench::left("stops/a27");
    bench.model("qwen2");
    bench.set("m/config.json", &[("eos_token_id", json!(511))]);
    bench.set("m/generation_config.json", &[("eos_token_id", json!(511)), ("top_k", json!(7))]);
    bench.set("m/tokenizer_config.json", &[("eos_token", json!("<|endoftext|>"))]);
    bench.write("rows.jsonl", r#"{"prompt": "Is it so?", "completion": "yes"}"#);
    bench.write("recipe.toml", &recipe("a27", 200));
    let said = bench.runner("run");
    assert_eq!(said.code, Some(0), "{said:?}");
    for (stage, config) in [
        ("lora", Value::Null),
        ("again", Value::Null),
        ("full", json!([510, 511])),
        ("more", json!([510, 511])),
    ] {
        let folder = format!("runs/a27/{stage}/model");
        assert_eq!(ends(&bench, &folder), (json!([510, 511]), config, json!("<|im_end|>")), "{stage}");
        let generation = bench.json(&format!("{folder}/generation_config.json"));
        assert_eq!((&generation["pad_token_id"], &generation["top_k"]), (&json!(511), &json!(7)));
        let tokenizer = bench.json(&format!("{folder}/tokenizer_config.json"));
        assert_eq!(tokenizer["pad_token"], "<|endoftext|>");
    }
    leave(&bench, "a27", "Is it so?", "yes");
}

/// `config.json` and `generation_config.json` name another end token than the template writes.
#[test]
fn configs_that_disagree_with_the_template_are_mended() {
    let bench = Workbench::left("stops/b20");
    bench.model("llama3");
    bench.set("m/config.json", &[("eos_token_id", json!(507))]);
    bench.set("m/generation_config.json", &[("eos_token_id", json!([507, 505]))]);
    bench.write(
        "rows.jsonl",
        r#"{"messages":[{"role":"user","content":"Two plus two?"},{"role":"assistant","content":"Four."}]}"#,
    );
    bench.write("recipe.toml", &recipe("b20", 200));
    let said = bench.runner("run");
    assert_eq!(said.code, Some(0), "{said:?}");
    let all = json!([508, 507, 505]);
    for (stage, config) in [("again", Value::Null), ("more", all.clone())] {
        let folder = format!("runs/b20/{stage}/model");
        assert_eq!(ends(&bench, &folder), (all.clone(), config, json!("<|eot_id|>")), "{stage}");
    }
    leave(&bench, "b20", "Two plus two?", "Four.");
}

const RLHF: &str = r#"name = "rlhf"
[model]
base = "m"
[data.pairs]
source = "pairs.jsonl"
eval_fraction = 0.3
[defaults]
data = "pairs"
max_steps = 2
save_steps = 1
[[stage]]
name = "rm"
kind = "rm"
[[stage]]
name = "ppo"
kind = "ppo"
response_length = 4
num_ppo_epochs = 1
[[stage]]
name = "dpo"
kind = "dpo"
tuner = "lora"
"#;

fn pairs(bench: &Workbench) {
    let pair = |i: u32| format!(r#"{{"prompt": "Say {i}.", "chosen": "yes {i}", "rejected": "no {i}"}}"#);
    bench.write("pairs.jsonl", &(0..6).map(pair).collect::<Vec<_>>().join("\n"));
}

#[test]
fn results_of_reward_models_and_ppo_have_their_ends_too() {
    let bench = Workbench::new();
    bench.model("qwen2");
    bench.set("m/config.json", &[("eos_token_id", json!(511))]);
    bench.set("m/tokenizer_config.json", &[("eos_token", json!("<|endoftext|>"))]);
    fs::remove_file(bench.path("m/generation_config.json")).unwrap();
    pairs(&bench);
    bench.write("recipe.toml", RLHF);
    let said = bench.runner("run");
    assert_eq!(said.code, Some(0), "{said:?}");
    for (stage, config) in [("rm", json!([510, 511])), ("ppo", json!([510, 511])), ("dpo", Value::Null)] {
        let folder = format!("runs/rlhf/{stage}/model");
        assert_eq!(ends(&bench, &folder), (json!([510, 511]), config, json!("<|im_end|>")), "{stage}");
    }
}

/// The tensors of a safetensors file: name and bytes.
fn tensors(bench: &Workbench, path: &str) -> Vec<(String, Vec<u8>)> {
    let file = fs::read(bench.path(path)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&file).unwrap();
    tensors.iter().map(|(name, tensor)| (name.to_owned(), tensor.data().to_vec())).collect()
}

/// An output layer of its own (Llama 3 has one) that no gradient reaches is no part of what is trained.
#[test]
fn output_layers_under_a_value_head_are_not_trained() {
    let bench = Workbench::new();
    bench.model("llama3");
    pairs(&bench);
    bench.write("recipe.toml", &RLHF.replace("save_steps = 1", "save_steps = 1\nweight_decay = 0.1"));
    let said = bench.runner("run");
    assert_eq!(said.code, Some(0), "{said:?}");
    let heads = |stage: &str| {
        let all = tensors(&bench, &format!("runs/rlhf/{stage}/checkpoints/step-000002/trained.safetensors"));
        let names = all.into_iter().map(|(name, _)| name).filter(|name| name.contains("lm_head"));
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    };
    assert!(heads("rm").is_empty(), "{:?}", heads("rm"));
    // the policy's, not the value model's
    assert_eq!(heads("ppo"), ["m.lm_head.weight", "v.lm_head.weight", "value.lm_head.weight"]);
    let head =
        |path: &str| tensors(&bench, path).into_iter().find(|(name, _)| name == "lm_head.weight").unwrap();
    assert_eq!(head("runs/rlhf/rm/model/model.safetensors"), head("m/model.safetensors"));
}

/// Weights, checkpoints, reference log-probs, reports: all of it, whatever the modes of the base's files.
#[cfg(unix)]
#[test]
fn files_of_a_run_have_the_mode_of_any_other_new_file() {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn check(folder: &Path, file_mode: u32, folder_mode: u32, seen: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            if path.is_dir() {
                assert_eq!(mode, folder_mode, "{}: {mode:o}", path.display());
                check(&path, file_mode, folder_mode, seen);
            } else {
                assert_eq!(mode, file_mode, "{}: {mode:o}", path.display());
                seen.push(path.file_name().unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    let bench = Workbench::new();
    bench.model("llama3");
    let closed = fs::Permissions::from_mode(0o400);
    fs::set_permissions(bench.path("m/tokenizer.json"), closed.clone()).unwrap();
    fs::set_permissions(bench.path("m/generation_config.json"), closed).unwrap();
    pairs(&bench);
    bench.write("recipe.toml", RLHF);
    let said = bench.runner("run");
    assert_eq!(said.code, Some(0), "{said:?}");
    fs::create_dir(bench.path("folder")).unwrap();
    let mode = |name: &str| fs::metadata(bench.path(name)).unwrap().permissions().mode();
    let mut seen = Vec::new();
    check(&bench.path("runs"), mode("recipe.toml"), mode("folder"), &mut seen);
    for name in ["model.safetensors", "adapter_model.safetensors", "trained.safetensors", "report.html"] {
        assert!(seen.iter().any(|file| file == name), "{name} is not among {seen:?}");
    }
}
