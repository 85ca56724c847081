//! The program itself, on a tiny model: what it leaves, what it says, how it ends.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::workspace::{Workspace, root};

const RECIPE: &str = "tests/run/recipe.toml";

fn recipe() -> PathBuf {
    root().join(RECIPE)
}

fn workspace() -> Workspace {
    Workspace::new(RECIPE, "pairs")
}

/// Metrics and weights of both stages.
fn outcome(workspace: &Workspace) -> [Vec<u8>; 4] {
    [
        "sft/metrics.jsonl",
        "dpo/metrics.jsonl",
        "sft/model/adapter_model.safetensors",
        "dpo/model/adapter_model.safetensors",
    ]
    .map(|path| workspace.read(path))
}

#[test]
fn a_second_run_does_nothing_and_a_changed_one_only_what_depends_on_the_change() {
    let workspace = workspace();
    let first = workspace.run(&["run"]);
    assert_eq!(first.code, Some(0), "{}", first.err);
    for file in
        ["recipe.toml", "plan.json", "recipe.lock", "report.html", "dpo/ledger.jsonl", "dpo/samples.jsonl"]
    {
        assert!(workspace.path(file).exists(), "{file}");
    }
    assert_eq!(workspace.list("reference").len(), 1, "log-probs of the one reference model");
    let before = outcome(&workspace);

    let (mut best, mut again) = (Duration::MAX, None);
    for _ in 0..3 {
        let started = Instant::now();
        again = Some(workspace.run(&["run"]));
        best = best.min(started.elapsed());
    }
    let again = again.unwrap();
    let out = again.out.replace(env!("CARGO_MANIFEST_DIR"), "HERE");
    insta::assert_snapshot!(out, @r#"
nothing to do: all stages are done and nothing has changed (`--fresh` runs them again)
  sft  runs/pairs/sft/model  adapter on HERE/tests/golden/models/qwen2
  dpo  runs/pairs/dpo/model  adapter on HERE/tests/golden/models/qwen2
  runs/pairs/report.html     curves, answers, settings
"#);
    assert_eq!((again.code, again.err.as_str()), (Some(0), ""));
    assert!(best < Duration::from_secs(1), "{best:?}");
    assert_eq!(outcome(&workspace), before);

    let changed = workspace.run(&["run", "--set", "stage.dpo.beta=0.3"]);
    assert_eq!(changed.code, Some(0), "{}", changed.err);
    assert!(changed.err.contains("dpo: will run again: beta: 0.1 → 0.3"), "{}", changed.err);
    assert!(!changed.err.contains("sft:"), "{}", changed.err);
    let after = outcome(&workspace);
    assert_eq!((&after[0], &after[2]), (&before[0], &before[2]));
    assert_ne!(after[3], before[3]);

    let one = workspace.run(&["run", "--stage", "sft", "--fresh"]);
    assert_eq!(one.code, Some(0), "{}", one.err);
    assert!(one.err.contains("sft: will run again: `--fresh` asks for it"), "{}", one.err);
    assert_eq!(outcome(&workspace), after, "the same recipe gives the same bytes");
}

#[test]
fn a_killed_run_goes_on_as_if_nothing_had_happened() {
    let undisturbed = workspace();
    assert_eq!(undisturbed.run(&["run"]).code, Some(0));
    let killed = workspace();
    for (stage, rows) in [("sft", 1), ("sft", 5), ("dpo", 2), ("dpo", 6)] {
        killed.kill_once(&[], |workspace| workspace.metrics(stage).len() >= rows);
    }
    let last = killed.run(&["run"]);
    assert_eq!(last.code, Some(0), "{}", last.err);
    assert_eq!(outcome(&killed), outcome(&undisturbed));
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_saves_and_ends_with_130() {
    let workspace = workspace();
    let said = workspace.interrupt_once(&[], |workspace| !workspace.metrics("sft").is_empty());
    assert_eq!(said.code, Some(130), "{}", said.err);
    assert!(said.err.ends_with("stopped; the same command goes on from here\n"), "{}", said.err);
    assert!(!workspace.path("dpo/model").exists());
    assert_eq!(workspace.run(&["run"]).code, Some(0));
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let workspace = workspace();
    fs::create_dir_all(workspace.path("")).unwrap();
    let held = File::create(workspace.path(".in-use")).unwrap();
    held.lock().unwrap();
    let said = workspace.run(&["run"]);
    assert_eq!(said.code, Some(1));
    let expected =
        "error: another run is writing to `runs/pairs`: wait for it, or give this recipe another `name`\n";
    assert_eq!(said.err, expected);
}

#[test]
fn a_wrong_command_or_recipe_ends_with_2_and_a_folder_that_cannot_be_made_with_1() {
    let workspace = workspace();
    let said = workspace.run(&["run", "--stage", "rm"]);
    assert_eq!(
        (said.code, said.err.as_str()),
        (Some(2), "error: the recipe has no stage `rm`; it has `sft`, `dpo`\n")
    );
    assert_eq!(workspace.run(&["run", "--what"]).code, Some(2));
    let said = workspace.run(&["check", "--set", "stage.dpo.betta=1"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("did you mean `beta`"), "{}", said.err);
    fs::write(workspace.folder().join("runs"), "a file").unwrap();
    let said = workspace.run(&["run"]);
    assert_eq!(said.code, Some(1));
    assert!(said.err.starts_with("error: cannot make the folder `runs/pairs`\n"), "{}", said.err);
}

#[test]
fn check_says_that_a_recipe_is_sound_and_writes_nothing() {
    let workspace = workspace();
    let said = workspace.run(&["check"]);
    let out = said.out.replace(&recipe().display().to_string(), "recipe.toml");
    insta::assert_snapshot!(out, @r#"
recipe.toml is sound
  sft: 77 rows to train on, 19 held out, 0 cut, 0 dropped
  dpo: 77 rows to train on, 19 held out, 0 cut, 0 dropped
"#);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""));
    assert!(!workspace.folder().join("runs").exists());
}

#[test]
fn rows_that_do_not_fit_are_pointed_at_for_every_stage_at_once() {
    let workspace = workspace();
    let said = workspace.run(&[
        "check",
        "--set",
        "data.pairs.source=../golden/data/sft.jsonl",
        "--set",
        "stage.sft.max_length=2",
    ]);
    let err = said.err.replace(env!("CARGO_MANIFEST_DIR"), "HERE");
    insta::assert_snapshot!(err, @r#"
error: none of 77 rows can be trained on; the first, `HERE/tests/run/../golden/data/sft.jsonl` line 1: prompt fills max_length; raise `max_length`
  --> HERE/tests/run/recipe.toml:24:8
   |
24 | data = "pairs"
   |        ^^^^^^^

error: data `pairs`: 96 of 96 rows are malformed, 0 may be (`max_bad_rows`):
         `HERE/tests/run/../golden/data/sft.jsonl` line 1: no known format: the row has `messages`
         `HERE/tests/run/../golden/data/sft.jsonl` line 2: no known format: the row has `messages`
         `HERE/tests/run/../golden/data/sft.jsonl` line 3: no known format: the row has `messages`
         `HERE/tests/run/../golden/data/sft.jsonl` line 4: no known format: the row has `messages`
         `HERE/tests/run/../golden/data/sft.jsonl` line 5: no known format: the row has `messages`
         and 91 more
         expected `chosen` and `rejected` (with `prompt`, `instruction` or `conversations`), `messages` and `rejected_response` or `rejected_messages`, `query`, `response` and `rejected_response`, or answers side by side and which is the better: `responses` and `chosen_index`, `response_0`, `response_1` and `better_response_id`, `response_1`, `response_2` and `preference_strength`, `response_a`, `response_b` (or `conversation_a`, `conversation_b`) and `winner`; map other names with `columns`
  --> HERE/tests/run/recipe.toml:30:8
   |
30 | data = "pairs"
   |        ^^^^^^^

2 errors
"#);
    assert_eq!(said.code, Some(2));
}

#[test]
fn plan_prints_a_table_and_json() {
    let workspace = workspace();
    let said = workspace.run(&["plan"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let here = env!("CARGO_MANIFEST_DIR");
    // Memory depends on the number of threads, time on the machine.
    let table = said.out.replace(here, "HERE");
    let machines = |line: &&str| !line.starts_with("   memory") && !line.starts_with("   work");
    insta::assert_snapshot!(table.lines().filter(machines).collect::<Vec<_>>().join("\n"), @r#"
pairs → runs/pairs

base: HERE/tests/golden/models/qwen2, 119 k parameters
device: cpu, f32

1. sft: sft, LoRA of rank 4, 8.96 k parameters trained
   policy     base (HERE/tests/golden/models/qwen2)
   data       pairs: 77 rows to train on, 19 held out, 0 cut, 0 dropped
   tokens     6 062 an epoch (6 062 with a prompt for every answer), 2 462 trained on
   steps      78 (39 an epoch, 2 epochs)
   result     runs/pairs/sft/model (adapter on HERE/tests/golden/models/qwen2)
   status     will run

2. dpo: dpo, LoRA of rank 4, 8.96 k parameters trained
   policy     stage `sft` (runs/pairs/sft/model)
   reference  the policy as the stage starts
   data       pairs: 77 rows to train on, 19 held out, 0 cut, 0 dropped
   tokens     8 400 an epoch (12 000 with a prompt for every answer), 4 800 trained on
   steps      78 (39 an epoch, 2 epochs)
   result     runs/pairs/dpo/model (adapter on HERE/tests/golden/models/qwen2)
   status     will run
"#);

    let said = workspace.run(&["plan", "--json"]);
    let mut plan: serde_json::Value = serde_json::from_str(&said.out.replace(here, "HERE")).unwrap();
    // What depends on the machine.
    for stage in plan["stages"].as_array_mut().unwrap() {
        assert!(stage["memory"].as_object_mut().unwrap().remove("logits").is_some());
        assert!(stage["work"].as_object_mut().unwrap().remove("flops_per_second").is_some());
    }
    insta::assert_snapshot!("plan", serde_json::to_string_pretty(&plan).unwrap());
}

#[test]
fn bench_tells_what_the_time_goes_to() {
    let workspace = workspace();
    let said = workspace.run(&["bench", "--stage", "dpo", "--steps", "1", "--warmup", "0", "--json"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&found["device"], &found["dtype"]), (&"cpu".into(), &"f32".into()));
    let parts = found["parts"].as_object().unwrap();
    let names: Vec<&str> = parts.keys().map(String::as_str).collect();
    assert_eq!(names, ["attention", "linear", "head", "norms", "optimiser", "host"]);
    assert!(parts.values().all(|seconds| seconds.as_f64().unwrap() > 0.0), "{parts:?}");
    assert!(found["peak_gflops"].as_f64().unwrap() > 0.1 && found["peak_bytes"].as_f64().unwrap() > 1e6);
}

#[test]
fn bench_times_answers_to_the_first_prompts() {
    let workspace = workspace();
    let said = workspace.run(&["bench", "--stage", "dpo", "--generate", "3", "--prompts", "2"]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let names: Vec<&str> = said.out.lines().map(|line| line.get(..18).unwrap_or_default().trim()).collect();
    assert_eq!(names, ["dpo: 3 new tokens", "new tokens/s", "peak memory", "time"], "{}", said.out);
    assert!(said.out.starts_with("dpo: 3 new tokens for each of 2 prompts, "), "{}", said.out);

    let said = workspace.run(&["bench", "--generate", "5", "--json"]);
    let found: serde_json::Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((&found["prompts"], &found["new_tokens"]), (&16.into(), &80.into()));
    let number = |key: &str| found[key].as_f64().unwrap();
    assert_eq!(number("new_tokens_per_second"), 80.0 / number("seconds"));
    assert!(number("prefill_seconds") > 0.0 && number("peak_bytes") > 1e6);

    assert_eq!(workspace.run(&["bench", "--generate", "3", "--steps", "2"]).code, Some(2));
    assert_eq!(workspace.run(&["bench", "--prompts", "2"]).code, Some(2));
    assert!(!workspace.folder().join("runs").exists());
}
