//! A PPO pipeline that dies, or is interrupted, at any moment ends with the bytes of one that never did.

use std::sync::LazyLock;

use serde_json::Value;

use crate::desk::Desk;
use crate::small::rlhf;

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
    let desk = rlhf("full");
    finish(&desk);
    OUTCOME.map(|path| desk.read(path))
});

/// Runs to the end; returns what is said on the way.
fn finish(desk: &Desk) -> String {
    let said = desk.run(&[&["run"], EVERY_THREE_STEPS.as_slice()].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    said.err
}

fn is_undisturbed(desk: &Desk) {
    for (path, expected) in OUTCOME.iter().zip(UNDISTURBED.iter()) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if path.ends_with(".jsonl") {
            assert_eq!(text(&desk.read(path)), text(expected), "{path}");
        }
        assert!(desk.read(path) == *expected, "{path}");
    }
}

/// Whether `metrics.jsonl` has the row of training step `step`; step 0's is that of held-out prompts.
fn has_step(desk: &Desk, stage: &str, step: u64) -> bool {
    let is_row = |row: &Value| row["step"] == step && (step == 0 || row.get("loss").is_some());
    desk.metrics(stage).iter().any(is_row)
}

#[test]
fn a_killed_pipeline_goes_on_as_if_nothing_had_happened() {
    let desk = rlhf("full");
    let kill = |moment: &dyn Fn(&Desk) -> bool| desk.kill_once(&EVERY_THREE_STEPS, moment);
    kill(&|desk| has_step(desk, "sft", 1));
    kill(&|desk| has_step(desk, "rm", 2));
    // after the held-out prompts, and after the last step on a rollout, comes another rollout
    kill(&|desk| has_step(desk, "ppo", 0));
    kill(&|desk| has_step(desk, "ppo", 2));
    kill(&|desk| has_step(desk, "ppo", 4));
    // in the middle of the second update, as the checkpoint is there and before its last step
    kill(&|desk| desk.path("ppo/checkpoints/step-000006").exists());
    kill(&|desk| has_step(desk, "ppo", 8));
    assert!(!desk.path("ppo/model").exists());
    let said = finish(&desk);
    assert!(said.contains("ppo: continuing after step 6\n"), "{said}");
    is_undisturbed(&desk);
}

#[cfg(unix)]
#[test]
fn an_interrupted_update_goes_on_as_if_nothing_had_happened() {
    let desk = rlhf("full");
    for step in [2, 8] {
        let said = desk.interrupt_once(&EVERY_THREE_STEPS, |desk| has_step(desk, "ppo", step));
        assert_eq!(said.code, Some(130), "{}", said.err);
        assert!(said.err.ends_with("stopped; the same command goes on from here\n"), "{}", said.err);
        assert!(!desk.path("ppo/model").exists());
    }
    let said = finish(&desk);
    assert!(said.contains("ppo: continuing after step "), "{said}");
    is_undisturbed(&desk);
}
