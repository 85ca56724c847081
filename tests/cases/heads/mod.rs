//! Reward models of others: their heads are used, by every command, and their results stay loadable.

mod foreign;
mod made;
mod padding;
mod rows;

use std::fs;
use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::{Value, json};

use self::made::{adapter, classifier, cut};
use crate::adapters::workspace::{Workspace, copy_model, near};

const PAIRS: &str = r#"{"prompt": "Is it so?", "chosen": "yes", "rejected": "no"}
{"prompt": "Is it far?", "chosen": "no", "rejected": "yes"}
"#;

/// Scores of the pairs' answers in turn, by transformers 5.24 and peft 0.21.2: what
/// `tests/interop/adapters.py` prints.
const SCORES: [(&str, &str, [f64; 4]); 4] = [
    ("qwen2", "classifier", [3.6324, 3.3849, 3.3475, 3.5128]),
    ("qwen2", "adapter", [0.3492, 0.4854, 0.3779, 0.1817]),
    ("llama3", "classifier", [-0.9063, -1.7710, -2.5514, -1.9358]),
    ("llama3", "adapter", [0.4952, 0.3361, 0.6536, 0.6805]),
];

/// Writes one of `SCORES`' models as `reward`. The adapter has no tokenizer of its own.
fn workspace(model: &str, kind: &str) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("pairs.jsonl", PAIRS);
    match kind {
        "classifier" => classifier(model, 1, &workspace.path("reward")),
        _ => adapter(model).write(&workspace.path("reward")),
    }
    workspace
}

fn recipe(model: &str, stages: &str) -> String {
    format!(
        "name = \"a\"\n[model]\n{model}\n[data.d]\nsource = \"pairs.jsonl\"\n[defaults]\ndata = \"d\"\n\
         max_steps = 1\nbatch_size = 2\nlogging_steps = 1\nlearning_rate = 0.0\n{stages}"
    )
}

const RM: &str = "[[stage]]\nname = \"rm\"\nkind = \"rm\"\n";
const PPO: &str = "[[stage]]\nname = \"ppo\"\nkind = \"ppo\"\nresponse_length = 8\n";
const LORA: &str =
    "tuner = \"lora\"\nlora = { rank = 4, alpha = 8, target_modules = [\"q_proj\", \"v_proj\"] }\n";

#[track_caller]
fn scores(workspace: &Workspace, folder: &str) -> Vec<f64> {
    let said = workspace.run(&["score", folder, "pairs.jsonl"]);
    assert!(said.ok, "{}", said.err);
    let rows = said.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.flat_map(|row| ["chosen", "rejected"].map(|side| row[side].as_f64().unwrap())).collect()
}

#[track_caller]
fn scores_are(workspace: &Workspace, folder: &str, wanted: [f64; 4]) {
    let found = scores(workspace, folder);
    assert_eq!(found.len(), 4);
    found.into_iter().zip(wanted).for_each(|(found, wanted)| near(found, wanted));
}

/// The names in a result's weights.
fn names(path: &Path) -> Vec<String> {
    let bytes = fs::read(path).unwrap();
    let stored = SafeTensors::deserialize(&bytes).unwrap();
    let mut names: Vec<String> = stored.names().into_iter().map(str::to_owned).collect();
    names.sort();
    names
}

#[test]
fn score_takes_classifiers_and_adapters_of_them() {
    for (model, kind, wanted) in SCORES {
        scores_are(&workspace(model, kind), "reward", wanted);
    }
}

/// An rm stage goes on with the head that is there, and its result is of the same form: a stage that
/// changes nothing scores as before, here and in transformers.
#[test]
fn an_rm_stage_goes_on_with_the_head_that_is_there() {
    for (model, kind, wanted) in SCORES {
        let workspace = workspace(model, kind);
        let base = match kind {
            "classifier" => "base = \"reward\"".to_owned(),
            _ => format!("base = \"$MODEL/{model}\"\nadapter = \"reward\""),
        };
        let tuners = if kind == "adapter" { vec![LORA] } else { vec!["", LORA] };
        for tuner in tuners {
            workspace.recipe(&recipe(&base, &format!("{RM}{tuner}")));
            let said = workspace.check();
            assert!(said.ok && !said.err.contains("warning"), "{}", said.err);
            workspace.train();
            let metrics = workspace.metrics("a", "rm");
            near(metrics["mean_reward"].as_f64().unwrap(), wanted.iter().sum::<f64>() / 4.0);
            scores_are(&workspace, "runs/a/rm/model", wanted);
            let result = workspace.path("runs/a/rm/model");
            if tuner.is_empty() {
                let names = names(&result.join("model.safetensors"));
                assert!(names.contains(&"score.weight".to_owned()), "{names:?}");
                assert!(!names.contains(&"lm_head.weight".to_owned()), "{names:?}");
                let config: Value =
                    serde_json::from_slice(&fs::read(result.join("config.json")).unwrap()).unwrap();
                assert!(config["architectures"][0].as_str().unwrap().ends_with("ForSequenceClassification"));
            } else {
                let names = names(&result.join("adapter_model.safetensors"));
                assert!(names.contains(&"base_model.model.score.weight".to_owned()), "{names:?}");
                let config = fs::read(result.join("adapter_config.json")).unwrap();
                let config: Value = serde_json::from_slice(&config).unwrap();
                assert_eq!(config["task_type"], "SEQ_CLS");
                assert_eq!(config["modules_to_save"], json!(["score"]));
            }
            // The result without our own file of the head is what transformers would read.
            let own = set_apart(&workspace);
            fs::remove_file(own.join("value_head.safetensors")).unwrap();
            scores_are(&workspace, APART, wanted);
        }
    }
}

#[test]
fn head_names_the_file_of_either() {
    for (model, kind, wanted) in SCORES {
        let workspace = workspace(model, kind);
        let file = if kind == "adapter" { "adapter_model.safetensors" } else { "model.safetensors" };
        // the head alone, on the plain model: scores are those of the trunk without the adapter
        workspace.recipe(&recipe(&format!("base = \"$MODEL/{model}\"\nhead = \"reward/{file}\""), RM));
        workspace.train();
        let found = scores(&workspace, "runs/a/rm/model");
        if kind == "classifier" {
            found.into_iter().zip(wanted).for_each(|(found, wanted)| near(found, wanted));
        } else {
            assert!(found.iter().zip(wanted).any(|(found, wanted)| (found - wanted).abs() > 1e-3));
        }
    }
}

#[test]
fn ppo_takes_either_as_reward_and_as_base() {
    for (model, kind, _) in SCORES {
        let workspace = workspace(model, kind);
        for tuner in ["", LORA] {
            workspace.recipe(&recipe(
                &format!("base = \"$MODEL/{model}\""),
                &format!("{PPO}reward = \"reward\"\n{tuner}"),
            ));
            workspace.train();
            assert!(workspace.metrics("a", "ppo")["objective/scores"].is_number());
        }
    }
    // a tied classifier speaks too, and scores itself
    let workspace = workspace("qwen2", "classifier");
    workspace.recipe(&recipe("base = \"reward\"", &format!("{PPO}reward = \"base\"\n")));
    workspace.train();
    let workspace = self::workspace("qwen2", "adapter");
    workspace.recipe(&recipe(
        "base = \"$MODEL/qwen2\"\nadapter = \"reward\"",
        &format!("{PPO}reward = \"base\"\n{LORA}"),
    ));
    workspace.train();
}

/// A model that answers no longer claims to be a classifier, whose head it has lost.
#[test]
fn a_policy_from_a_classifier_is_a_causal_model() {
    let workspace = workspace("qwen2", "classifier");
    let sft = "[[stage]]\nname = \"sft\"\nkind = \"sft\"\n";
    workspace.recipe(&recipe("base = \"reward\"", sft));
    let said = workspace.check();
    assert!(said.ok && said.err.contains("its head (`model.safetensors`) does nothing"), "{}", said.err);
    workspace.train();
    let config = fs::read(workspace.path("runs/a/sft/model/config.json")).unwrap();
    let config: Value = serde_json::from_slice(&config).unwrap();
    assert_eq!(config["architectures"], json!(["Qwen2ForCausalLM"]));
    assert_eq!(config["id2label"], Value::Null);
    // without a tie it has no head for tokens at all
    let workspace = self::workspace("llama3", "classifier");
    workspace.recipe(&recipe("base = \"reward\"", sft));
    for command in ["check", "run"] {
        let said = workspace.run(&[command, "recipe.toml"]);
        assert!(!said.ok && said.err.contains("lm_head.weight"), "{}", said.err);
    }
}

#[test]
fn heads_of_several_labels_are_refused_by_name() {
    let workspace = Workspace::new();
    workspace.write("pairs.jsonl", PAIRS);
    classifier("qwen2", 3, &workspace.path("reward"));
    for (model, stage) in [
        ("base = \"reward\"", RM.to_owned()),
        ("base = \"$MODEL/qwen2\"\nhead = \"reward/model.safetensors\"", RM.to_owned()),
        ("base = \"$MODEL/qwen2\"", format!("{PPO}reward = \"reward\"\n")),
    ] {
        workspace.recipe(&recipe(model, &stage));
        for command in ["check", "run"] {
            let said = workspace.run(&[command, "recipe.toml"]);
            assert!(!said.ok && said.err.contains("num_labels"), "{}", said.err);
        }
    }
    let said = workspace.run(&["score", "reward", "pairs.jsonl"]);
    assert!(!said.ok && said.err.contains("num_labels"), "{}", said.err);
}

/// A reward model that a late stage needs is opened before the first stage trains.
#[test]
fn a_reward_model_that_was_cut_off_is_refused_before_the_run() {
    let sft = "[[stage]]\nname = \"sft\"\nkind = \"sft\"\n";
    let stages = format!("{sft}{PPO}reward = \"reward\"\n");
    let wrong = |workspace: &Workspace, says: &str| {
        workspace.recipe(&recipe("base = \"$MODEL/llama3\"", &stages));
        for command in ["check", "run"] {
            let said = workspace.run(&[command, "recipe.toml"]);
            assert!(!said.ok && said.err.contains(says), "{says}: {}", said.err);
            assert!(!workspace.path("runs/a/sft/metrics.jsonl").exists());
        }
    };
    let workspace = workspace("llama3", "classifier");
    cut(&workspace.path("reward/model.safetensors"));
    wrong(&workspace, "reward/model.safetensors");

    let workspace = self::workspace("llama3", "adapter");
    cut(&workspace.path("reward/adapter_model.safetensors"));
    wrong(&workspace, "reward/adapter_model.safetensors");

    // weights cut off beside a head that is whole
    let workspace = Workspace::new();
    workspace.write("pairs.jsonl", PAIRS);
    copy_model("llama3", &workspace.path("reward"));
    let heads = std::collections::BTreeMap::from([("v_head.summary.weight".to_owned(), vec![1, 64])]);
    crate::adapters::made::write(&workspace.path("reward/value_head.safetensors"), &heads, 0.5);
    cut(&workspace.path("reward/model.safetensors"));
    wrong(&workspace, "reward/model.safetensors");

    // an adapter whose base is gone
    let workspace = self::workspace("llama3", "adapter");
    let made = adapter("llama3").with("base_model_name_or_path", json!("nobody/knows-it"));
    made.write(&workspace.path("reward"));
    wrong(&workspace, "base_model_name_or_path");

    // no head at all
    let workspace = self::workspace("llama3", "adapter");
    adapter("llama3").without("score").with("modules_to_save", json!(null)).write(&workspace.path("reward"));
    wrong(&workspace, "no reward model");
}

/// Where [`set_apart`] puts a result.
const APART: &str = "apart";

/// A copy of the result of the rm stage, which may be changed: one in its place is held against its record.
fn set_apart(workspace: &Workspace) -> PathBuf {
    let apart = workspace.path(APART);
    if apart.exists() {
        fs::remove_dir_all(&apart).unwrap();
    }
    fs::create_dir(&apart).unwrap();
    for file in fs::read_dir(workspace.path("runs/a/rm/model")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), apart.join(file.file_name())).unwrap();
    }
    apart
}
