//! A policy that finds one answer that its reward model likes is seen: in the console while it trains, in
//! `summary.json`, on the page and at the end. A few steps of the shipped recipe's stages are enough for
//! one, where nothing holds the policy back and an end token is all that counts.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use runner::report::collapse::CollapseWatch;
use runner::report::metrics::MetricsRow;
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
    "stage.ppo.max_steps=40",
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
    let seen = err.lines().find(|line| line.starts_with("ppo: warning: step ") && line.contains(collapse));
    let seen = seen.unwrap_or_else(|| panic!("{err}"));
    assert!(!seen.contains("step 40:"), "as soon as it shows: {seen}");
    let summary: Value = serde_json::from_str(&ppo(folder.path(), "summary.json")).unwrap();
    let warnings = summary["warnings"].as_array().unwrap();
    assert!(!warnings.is_empty());
    let page = fs::read_to_string(folder.path().join("runs/quickstart-rlhf/report.html")).unwrap();
    for warning in warnings {
        let warning = warning.as_str().unwrap();
        assert!(warning.starts_with(&format!("step 40: {collapse}")), "{warning}");
        assert!(out.contains(&format!("warning: ppo: {warning}\n")), "{out}");
        assert!(page.contains(&warning[..40]), "{warning}");
    }
    // several prompts at each look: the same answer to all of them shows
    let samples = ppo(folder.path(), "samples.jsonl");
    let last = samples.lines().filter(|line| line.starts_with("{\"step\":40,")).count();
    assert_eq!(last, 8, "{samples}");

    let said = run(folder.path(), &HELD);
    let (out, err) = (String::from_utf8(said.stdout).unwrap(), String::from_utf8(said.stderr).unwrap());
    assert!(!err.contains(collapse) && !out.contains("warning: ppo"), "{err}{out}");
    let summary: Value = serde_json::from_str(&ppo(folder.path(), "summary.json")).unwrap();
    assert_eq!(summary.get("warnings"), None);
}

/// The metrics of the shipped recipe's last stage as recorded.
fn recorded(name: &str) -> Vec<MetricsRow> {
    let text = fs::read_to_string(root().join("tests/cases/rlhf").join(name)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `too_long.jsonl`: a whole epoch at a learning rate of 3e-4 and a `kl_coef` of 0.5, which raised the score as
/// much and left 121 of 139 right answers.
#[test]
fn a_score_that_rises_while_right_answers_fall_is_warned_of_and_the_shipped_settings_are_not() {
    let warnings = CollapseWatch::over(&recorded("too_long.jsonl")).warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("right answers to held-out questions"), "{warnings:?}");
    assert!(warnings[0].contains("fell from 98 % to 85 %"), "{warnings:?}");
    assert_eq!(CollapseWatch::over(&recorded("shipped_settings.jsonl")).warnings(), [] as [&str; 0]);
}
