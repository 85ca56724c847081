//! KTO on pairs is KTO on rows in TRL's order: all chosen answers, then all rejected ones. The numbers
//! are TRL 1.16's (`with_trl.py` beside the rows made them).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const LOSSES: [f64; 4] = [0.5, 0.4466, 0.4016, 0.3669];
const KL: [f64; 4] = [0.0, 0.5, 0.7417, 1.3725];
/// The last digit of TRL's.
const DIGIT: f64 = 6e-5;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Gives `subcommand` of a recipe with these keys of data and stage, in `folder`.
fn runner(folder: &Path, subcommand: &str, data: &str, stage: &str) -> std::process::Output {
    let base = root().join("tests/golden/models/qwen2");
    let recipe = format!(
        "name = \"kto\"\n[model]\nbase = \"{}\"\n[data.rows]\n{data}\n[[stage]]\nname = \"kto\"\nkind = \"kto\"\n\
         data = \"rows\"\ntuner = \"full\"\nlearning_rate = 1e-3\nlr_scheduler_type = \"constant\"\nshuffle = false\n\
         logging_steps = 1\n{stage}\n",
        base.display()
    );
    for name in ["pairs.jsonl", "rows.jsonl"] {
        fs::copy(root().join("tests/cases/kto").join(name), folder.join(name)).unwrap();
    }
    fs::write(folder.join("recipe.toml"), recipe).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_runner"));
    command.current_dir(folder).args([subcommand, "recipe.toml"]).output().unwrap()
}

/// The rows of metrics that a run leaves.
fn trained(data: &str, stage: &str) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let said = runner(folder.path(), "run", data, stage);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = fs::read_to_string(folder.path().join("runs/kto/kto/metrics.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn warnings(data: &str, stage: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let said = runner(folder.path(), "plan", data, stage);
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8(said.stdout).unwrap();
    text.lines().filter(|line| line.trim_start().starts_with("warning")).collect::<Vec<_>>().join("\n")
}

const STEPS: &str = "batch_size = 2\ngradient_accumulation_steps = 8\nnum_train_epochs = 4";

#[test]
fn unpaired_pairs_train_as_trl_trains_them() {
    let rows = trained("source = \"pairs.jsonl\"", &format!("unpair = true\n{STEPS}"));
    assert_eq!(rows.len(), 4);
    for (row, (loss, kl)) in rows.iter().zip(LOSSES.into_iter().zip(KL)) {
        let near = |name: &str, wanted: f64| {
            let found = row[name].as_f64().unwrap();
            assert!((found - wanted).abs() < DIGIT, "{name}: {found}, TRL {wanted}");
        };
        near("loss", loss);
        near("kl", kl);
    }
}

#[test]
fn unpaired_pairs_are_the_same_rows_written_out() {
    let pairs = trained("source = \"pairs.jsonl\"", &format!("unpair = true\n{STEPS}"));
    assert_eq!(pairs, trained("source = \"rows.jsonl\"", STEPS));
}

/// Each answer is a row, and both answers of a pair are held out with it.
#[test]
fn pairs_are_held_out_whole() {
    let data = "source = \"pairs.jsonl\"\neval_fraction = 0.4";
    let folder = tempfile::tempdir().unwrap();
    let said = runner(folder.path(), "run", data, "unpair = true\nbatch_size = 2\nnum_train_epochs = 1");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let plan = fs::read_to_string(folder.path().join("runs/kto/plan.json")).unwrap();
    let plan: Value = serde_json::from_str(&plan).unwrap();
    let counts = &plan["stages"][0]["counts"];
    let rows = |part: &str| counts[part]["rows"].as_u64().unwrap();
    assert_eq!(rows("train") + rows("held_out"), 16);
    assert!(rows("held_out") > 0 && rows("held_out") % 2 == 0, "{counts}");
    // Asked once a pair.
    let samples = fs::read_to_string(folder.path().join("runs/kto/kto/samples.jsonl")).unwrap();
    let before = samples.lines().filter(|line| line.contains("\"step\":0,")).count() as u64;
    assert_eq!(before, rows("held_out") / 2);
}

#[test]
fn a_last_micro_batch_of_one_row_is_told() {
    let pairs = "source = \"pairs.jsonl\"";
    let alone = "the last of 16 training rows has a micro-batch of 3 to itself";
    assert!(warnings(pairs, "unpair = true\nbatch_size = 3").contains(alone));
    assert_eq!(warnings(pairs, "unpair = true\nbatch_size = 4"), "");
    // Without a KL term nothing is taken from another row.
    let apo = "unpair = true\nbatch_size = 3\nloss_type = \"apo_zero_unpaired\"";
    assert_eq!(warnings(pairs, apo), "");
}
