//! A PPO pipeline that dies, or is interrupted, at any moment ends with the bytes of one that never did.

use std::sync::LazyLock;

use serde_json::Value;

use crate::small::rlhf;
use crate::workspace::Workspace;

/// Checkpoints fall in the middle of updates, which take four steps.
const EVERY_THREE_STEPS: [&str; 4] = ["--set", "defaults.save_steps=3", "--set", "defaults.eval_steps=5"];

/// Metrics, samples and weights of all stages.
const OUTCOME: [&str; 10] = [
    "sft/metrics.jsonl",
    "sft/samples.jsonl",
    "sft/model/model.safetensors",
    "rm/metrics.jsonl",
    "rm/samples.jsonl",
    "rm/model/model.safetensors",
    "rm/model/value_head.safetensors",
    "ppo/metrics.jsonl",
    "ppo/samples.jsonl",
    "ppo/model/model.safetensors",
];

static UNDISTURBED: LazyLock<[Vec<u8>; 10]> = LazyLock::new(|| {
    let workspace = rlhf("full");
    finish(&workspace);
    OUTCOME.map(|path| workspace.read(path))
});

/// Runs to the end; returns what is said on the way.
fn finish(workspace: &Workspace) -> String {
    let said = workspace.run(&[&["run"], EVERY_THREE_STEPS.as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.err
}

fn is_undisturbed(workspace: &Workspace) {
    for (path, expected) in OUTCOME.iter().zip(UNDISTURBED.iter()) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if path.ends_with(".jsonl") {
            assert_eq!(text(&workspace.read(path)), text(expected), "{path}");
        }
        assert!(workspace.read(path) == *expected, "{path}");
    }
}

/// Whether `metrics.jsonl` has the row of training step `step`; step 0's is that of held-out prompts.
fn has_step(workspace: &Workspace, stage: &str, step: u64) -> bool {
    let is_row = |row: &Value| row["step"] == step && (step == 0 || row.get("loss").is_some());
    workspace.metrics(stage).iter().any(is_row)
}

#[test]
fn a_killed_pipeline_goes_on_as_if_nothing_had_happened() {
    let workspace = rlhf("full");
    let kill = |moment: &dyn Fn(&Workspace) -> bool| workspace.kill_once(&EVERY_THREE_STEPS, moment);
    kill(&|workspace| has_step(workspace, "sft", 1));
    kill(&|workspace| has_step(workspace, "rm", 2));
    // after the held-out prompts, and after the last step on a rollout, comes another rollout
    kill(&|workspace| has_step(workspace, "ppo", 0));
    kill(&|workspace| has_step(workspace, "ppo", 2));
    kill(&|workspace| has_step(workspace, "ppo", 4));
    // in the middle of the second update, as the checkpoint is there and before its last step
    kill(&|workspace| workspace.path("ppo/checkpoints/step-000006").exists());
    kill(&|workspace| has_step(workspace, "ppo", 8));
    assert!(!workspace.path("ppo/model").exists());
    let said = finish(&workspace);
    assert!(said.contains("ppo: continuing after step 6\n"), "{said}");
    is_undisturbed(&workspace);
}

#[cfg(unix)]
#[test]
fn an_interrupted_update_goes_on_as_if_nothing_had_happened() {
    let workspace = rlhf("full");
    for step in [2, 8] {
        let said = workspace.interrupt_once(&EVERY_THREE_STEPS, |workspace| has_step(workspace, "ppo", step));
        assert_eq!(said.code, Some(130), "{}", said.err);
        assert!(said.err.ends_with("stopped; the same command goes on from here\n"), "{}", said.err);
        assert!(!workspace.path("ppo/model").exists());
    }
    let said = finish(&workspace);
    assert!(said.contains("ppo: continuing after step "), "{said}");
    is_undisturbed(&workspace);
}
