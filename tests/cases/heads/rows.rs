//! Policies and reward models whose embeddings have different numbers of rows, and tokenizers of reward
//! models: what PPO will need of them is asked before it runs.

use std::fs;

use serde_json::json;

use super::made::classifier;
use super::{PAIRS, PPO, recipe};
use crate::adapters::workspace::{Workspace, copy_model, edit_json};
use crate::models::folder::{EMBEDDING, read_weights, write_weights};

/// Cuts the embedding, or pads it.
fn resize(workspace: &Workspace, folder: &str, rows: usize) {
    let path = workspace.path(folder).join("model.safetensors");
    let mut weights = read_weights(&path);
    let table = weights[EMBEDDING].rows(rows);
    weights.insert(EMBEDDING.to_owned(), table);
    write_weights(&weights, &path);
    edit_json(&workspace.path(folder).join("config.json"), |config| {
        config["vocab_size"] = json!(rows);
        config["pad_token_id"] = json!(null);
    });
}

/// A policy `m` and a classifier `reward` with tables of these rows.
fn workspace(policy: usize, reward: usize) -> Workspace {
    let workspace = Workspace::new();
    workspace.write("pairs.jsonl", PAIRS);
    copy_model("qwen2", &workspace.path("m"));
    classifier("qwen2", 1, &workspace.path("reward"));
    resize(&workspace, "m", policy);
    resize(&workspace, "reward", reward);
    let stage = PPO.replace("response_length = 8", "response_length = 32\ntemperature = 5.0");
    workspace.recipe(&recipe("base = \"m\"", &format!("{stage}reward = \"reward\"\n")));
    workspace
}

#[test]
fn a_reward_model_has_a_row_for_every_token_that_it_is_sure_to_get() {
    for rows in [400, 510] {
        let workspace = workspace(512, rows);
        for command in ["check", "run"] {
            let said = workspace.run(&[command, "recipe.toml"]);
            assert!(!said.ok, "{rows}");
            for words in [format!("{rows} rows"), "reward model `".to_owned(), "token `".to_owned()] {
                assert!(said.err.contains(&words), "{words}: {}", said.err);
            }
        }
    }
    // A token that no row has is not written.
    let workspace = workspace(512, 511);
    let said = workspace.check();
    assert!(said.ok && said.out.contains("responses never have token `<|endoftext|>` (511)"), "{}", said.out);
    workspace.train();
}

#[test]
fn rows_that_pad_a_policys_table_are_not_sampled_where_the_reward_model_has_none() {
    let workspace = workspace(900, 512);
    let said = workspace.check();
    assert!(said.ok && !format!("{}{}", said.out, said.err).contains("warning"), "{}{}", said.out, said.err);
    workspace.train();
    let metrics = workspace.metrics("a", "ppo");
    assert!(metrics["objective/scores"].is_number(), "{metrics}");
    // A reward model with the larger table needs nothing.
    let workspace = self::workspace(512, 900);
    let said = workspace.check();
    assert!(said.ok && !format!("{}{}", said.out, said.err).contains("warning"), "{}{}", said.out, said.err);
    workspace.train();
}

#[test]
fn a_reward_models_tokenizer_is_opened_by_check() {
    let workspace = workspace(512, 512);
    fs::write(workspace.path("reward/tokenizer_config.json"), "{").unwrap();
    let said = workspace.check();
    assert!(!said.ok && said.err.contains("reward/tokenizer_config.json"), "{}", said.err);

    let workspace = self::workspace(512, 512);
    edit_json(&workspace.path("reward/config.json"), |config| config["pad_token_id"] = json!(600));
    let said = workspace.check();
    assert!(!said.ok && said.err.contains("`pad_token_id`") && said.err.contains("600"), "{}", said.err);
    let said = workspace.run(&["score", "reward", "pairs.jsonl"]);
    assert!(!said.ok && said.err.contains("`pad_token_id`"), "{}", said.err);
}
