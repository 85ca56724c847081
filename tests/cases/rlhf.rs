//! A policy that finds one answer that its reward model likes is seen: in the console while it trains, in
//! `summary.json`, on the page and at the end. A few steps of the shipped recipe's stages are enough for
//! one, where nothing holds the policy back and an end token is all that counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use runner::report::collapse::Watch;
use runner::report::metrics::Row;
use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

const SMALL: [&str; 15] = [
    "data.pairs.limit=200",
    "data.answers.limit=200",
    "stage.sft.max_steps=30",
    "stage.sft.batch_size=8",
    "stage.sft.learning_rate=2.5e-3",
    "stage.rm.max_steps=3",
    "stage.rm.batch_size=8",
    "stage.ppo.max_steps=24",
    "stage.ppo.batch_size=16",
    "stage.ppo.gradient_accumulation_steps=1",
    "stage.ppo.num_ppo_epochs=2",
    "stage.ppo.num_mini_batches=2",
    "stage.ppo.response_length=6",
    "stage.ppo.logging_steps=4",
    "stage.ppo.missing_eos_penalty=10.0",
];
const LET_GO: [&str; 3] =
    ["stage.ppo.kl_coef=0.0", "stage.ppo.learning_rate=1e-2", "stage.ppo.lr_scheduler_type=constant"];
const HELD: [&str; 2] = ["stage.ppo.kl_coef=0.5", "stage.ppo.learning_rate=1e-5"];

fn run(folder: &Path, sets: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.current_dir(folder).arg("run").arg(root().join("recipes/quickstart-rlhf.toml"));
    for set in SMALL.iter().chain(sets) {
        command.args(["--set", set]);
    }
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    said
}

fn ppo(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join("runs/quickstart-rlhf/ppo").join(file)).unwrap()
}

#[test]
fn a_policy_that_collapses_is_seen_everywhere_and_one_that_does_not_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let said = run(folder.path(), &LET_GO);
    let collapse = "responses collapse: ";
    let (out, err) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(err.contains(&format!("ppo: warning: step 8: {collapse}")), "as soon as it shows: {err}");
    let summary: Value = serde_json::from_str(&ppo(folder.path(), "summary.json")).unwrap();
    let warnings = summary["warnings"].as_array().unwrap();
    assert!(!warnings.is_empty());
    let page = fs::read_to_string(folder.path().join("runs/quickstart-rlhf/report.html")).unwrap();
    for warning in warnings {
        let warning = warning.as_str().unwrap();
        assert!(warning.starts_with(&format!("step 24: {collapse}")), "{warning}");
        assert!(out.contains(&format!("warning: ppo: {warning}\n")), "{out}");
        assert!(page.contains(&warning[..40]), "{warning}");
    }
    // several prompts at each look: the same answer to all of them shows
    let samples = ppo(folder.path(), "samples.jsonl");
    let last = samples.lines().filter(|line| line.starts_with("{\"step\":24,")).count();
    assert_eq!(last, 8, "{samples}");

    let said = run(folder.path(), &HELD);
    let (out, err) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(!err.contains(collapse) && !out.contains("warning: ppo"), "{err}{out}");
    let summary: Value = serde_json::from_str(&ppo(folder.path(), "summary.json")).unwrap();
    assert_eq!(summary.get("warnings"), None);
}

/// The metrics of the shipped recipe's last stage as recorded.
fn recorded(name: &str) -> Vec<Row> {
    let text = fs::read_to_string(root().join("tests/cases/rlhf").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn the_settings_that_taught_one_answer_to_everything_would_have_been_warned_of() {
    let old = recorded("old_settings.jsonl");
    let warnings = Watch::over(&old).warnings();
    assert!(warnings.iter().any(|text| text.contains("are one and the same")), "{warnings:?}");
    assert!(warnings.iter().any(|text| text.contains("right answers to held-out questions")), "{warnings:?}");
    // well before the end
    let last = old.last().unwrap().step;
    let mut watch = Watch::default();
    let first = old.iter().find(|row| !watch.look(row).is_empty()).unwrap();
    assert!(first.step <= last / 2, "first seen at step {} of {last}", first.step);

    assert_eq!(Watch::over(&recorded("new_settings.jsonl")).warnings(), [] as [&str; 0]);
}
