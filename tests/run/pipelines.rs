//! The shipped pipelines, small: what every stage leaves, and the comparison of those that start alike.

use std::collections::BTreeSet;
use std::fs;
use std::time::SystemTime;

use safetensors::SafeTensors;
use serde_json::Value;

use crate::small::{COMPARED, RLHF, compare, rlhf};
use crate::workspace::{Printed, Workspace};

const EVERY_KIND: &[&str] = &["loss", "grad_norm", "learning_rate", "num_tokens"];
const PAIRS: &[&str] = &[
    "rewards/chosen",
    "rewards/rejected",
    "rewards/accuracies",
    "rewards/margins",
    "logps/chosen",
    "logps/rejected",
    "logits/chosen",
    "logits/rejected",
    "entropy",
    "mean_token_accuracy",
];
const OBJECTIVE: &[&str] = &[
    "objective/kl",
    "objective/entropy",
    "objective/non_score_reward",
    "objective/rlhf_reward",
    "objective/scores",
    "val/num_eos_tokens",
    "val/num_responses",
    "val/distinct_responses",
    "val/top_response",
    "val/response_length",
    "objective/kl_q10",
    "objective/kl_q50",
    "objective/kl_q90",
];

/// What a kind's steps tell, beside what every kind's do: TRL's names.
fn metrics_of(kind: &str) -> Vec<&'static [&'static str]> {
    match kind {
        "sft" => vec![&["entropy", "mean_token_accuracy"]],
        "rm" => vec![&["accuracy", "margin", "min_reward", "mean_reward", "max_reward"]],
        "ppo" => vec![
            OBJECTIVE,
            &["policy/approxkl_avg", "policy/clipfrac_avg", "policy/entropy_avg"],
            &["loss/policy_avg", "loss/value_avg"],
            &["val/clipfrac_avg", "val/ratio", "val/ratio_var", "episode"],
        ],
        "dpo" => vec![PAIRS],
        // an answer is good or bad: no pair that could be right
        "kto" => vec![&PAIRS[..2], &PAIRS[3..9], &["kl"]],
        "cpo" | "simpo" => vec![PAIRS, &["nll_loss"]],
        "orpo" => vec![PAIRS, &["nll_loss", "log_odds_ratio", "log_odds_chosen"]],
        other => panic!("{other}"),
    }
}

/// What a kind tells of held-out rows.
fn held_out_metrics_of(kind: &str) -> Vec<&'static [&'static str]> {
    match kind {
        "ppo" => vec![OBJECTIVE, &["objective/scores_std", "exact_match"]],
        // a reward model answers nothing
        "rm" => [metrics_of("rm"), vec![&["loss"]]].concat(),
        other => [metrics_of(other), vec![&["loss", "exact_match"]]].concat(),
    }
}

fn names(groups: &[&[&str]], prefix: &str) -> BTreeSet<String> {
    groups.iter().copied().flatten().map(|name| format!("{prefix}{name}")).collect()
}

/// The metrics of a stage are all those of its kind and no others, and finite.
fn check_metrics(workspace: &Workspace, kind: &str, steps: u64) {
    let rows = workspace.metrics(kind);
    let of = |is_held_out: bool| -> (Vec<u64>, BTreeSet<String>) {
        let rows = rows.iter().filter(|row| {
            row.as_object().unwrap().keys().any(|name| name.starts_with("eval_")) == is_held_out
        });
        let mut found = BTreeSet::new();
        let steps = rows.map(|row| {
            for (name, value) in row.as_object().unwrap() {
                assert!(value.as_f64().is_some_and(f64::is_finite), "{kind}: {name} is {value}");
                if !["step", "epoch"].contains(&name.as_str()) {
                    found.insert(name.clone());
                }
            }
            row["step"].as_u64().unwrap()
        });
        (steps.collect(), found)
    };
    let trained = names(&[metrics_of(kind), vec![EVERY_KIND]].concat(), "");
    assert_eq!(of(false), ((1..=steps).collect(), trained), "{kind}");
    assert_eq!(of(true), (vec![0, steps], names(&held_out_metrics_of(kind), "eval_")), "{kind}");
}

/// The result has every file that it needs, and no other.
fn check_files(workspace: &Workspace, stage: &str, tuner: &str) {
    let folder = [
        "inputs.json",
        "ledger.jsonl",
        "metrics.jsonl",
        "model",
        "result.json",
        "samples.jsonl",
        "summary.json",
    ];
    assert_eq!(workspace.list(stage), folder, "{stage}");
    let mut model = match tuner {
        "full" => vec!["config.json", "model.safetensors"],
        _ => vec!["adapter_config.json", "adapter_model.safetensors"],
    };
    model.extend([
        "chat_template.jinja",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]);
    if stage == "rm" {
        model.push("value_head.safetensors");
    }
    model.sort_unstable();
    assert_eq!(workspace.list(&format!("{stage}/model")), model, "{stage}");
}

fn done(workspace: &Workspace, arguments: &[&str]) -> Printed {
    let said = workspace.run(&[&["run"], arguments].concat());
    assert_eq!(said.code, Some(0), "{}", said.err);
    said
}

fn nothing_to_do(workspace: &Workspace) {
    let said = done(workspace, &[]);
    assert!(said.out.starts_with("nothing to do: all stages are done"), "{}", said.out);
}

fn check_rlhf(tuner: &str) {
    let workspace = rlhf(tuner);
    done(&workspace, &[]);
    for (stage, steps) in RLHF.into_iter().zip([3, 3, 12]) {
        check_files(&workspace, stage, tuner);
        check_metrics(&workspace, stage, steps);
    }
    let bytes = workspace.read("rm/model/value_head.safetensors");
    let head = SafeTensors::deserialize(&bytes).unwrap();
    let mut tensors: Vec<_> =
        head.iter().map(|(name, tensor)| (name, tensor.dtype(), tensor.shape().to_vec())).collect();
    tensors.sort();
    assert_eq!(
        tensors,
        [
            ("v_head.summary.bias", safetensors::Dtype::F32, vec![1]),
            ("v_head.summary.weight", safetensors::Dtype::F32, vec![1, 128]),
        ]
    );
    // an update is eight prompts, and all of its steps tell of the same responses
    let told = |name: &str| -> Vec<f64> {
        let rows = workspace.metrics("ppo").into_iter().filter(|row| row.get("loss").is_some());
        rows.map(|row| row[name].as_f64().unwrap()).collect()
    };
    assert_eq!(told("episode"), [[8.0; 4], [16.0; 4], [24.0; 4]].concat());
    let scores = told("objective/scores");
    assert!(scores.chunks(4).all(|update| update.iter().all(|score| *score == update[0])), "{scores:?}");
    assert!(scores[0] != scores[4] && scores[4] != scores[8], "{scores:?}");
    assert_eq!(told("objective/kl")[..4], [0.0; 4], "the first update is the reference's own");
    nothing_to_do(&workspace);
}

#[test]
fn sft_rm_and_ppo_fully_tuned() {
    check_rlhf("full");
}

#[test]
fn sft_rm_and_ppo_with_lora() {
    check_rlhf("lora");
}

fn written(workspace: &Workspace, path: &str) -> SystemTime {
    fs::metadata(workspace.path(path)).unwrap().modified().unwrap()
}

fn check_compare(tuner: &str) {
    let workspace = compare(tuner);
    let first = done(&workspace, &[]);
    for stage in ["sft"].into_iter().chain(COMPARED) {
        check_files(&workspace, stage, tuner);
        check_metrics(&workspace, stage, 3);
        assert_eq!(first.err.matches(&format!("{stage}: done: ")).count(), 1, "{}", first.err);
    }
    check_table(&workspace, &first);

    // all start from one model: before training they answer alike, each question once
    let before = |stage: &str| -> Vec<String> {
        let samples = String::from_utf8(workspace.read(&format!("{stage}/samples.jsonl"))).unwrap();
        samples.lines().filter(|line| line.starts_with("{\"step\":0,")).map(str::to_owned).collect()
    };
    assert!(before("dpo").len() > 1, "{:?}", before("dpo"));
    for stage in COMPARED {
        assert_eq!(before(stage), before("dpo"), "{stage}");
    }

    // dpo and kto measure against one model
    let references = workspace.list("reference");
    assert_eq!(references.len(), 1, "{references:?}");
    let reference = format!("reference/{}", references[0]);
    let kept = ["sft/metrics.jsonl", "kto/metrics.jsonl", "comparison.json", &reference];
    let times = kept.map(|path| written(&workspace, path));
    nothing_to_do(&workspace);
    assert_eq!(kept.map(|path| written(&workspace, path)), times, "nothing is written again");

    // a run that was stopped before its comparison
    let comparison = workspace.read("comparison.json");
    fs::remove_file(workspace.path("comparison.json")).unwrap();
    let again = done(&workspace, &[]);
    check_table(&workspace, &again);
    assert_eq!(workspace.read("comparison.json"), comparison);
    assert!(!again.err.contains("done: "), "{}", again.err);

    // one stage alone has nothing to be compared with; the next run of all makes up for it
    const OTHER: [&str; 2] = ["--set", "stage.dpo.beta=0.3"];
    let alone = done(&workspace, &[&["--stage", "dpo"], OTHER.as_slice()].concat());
    let on_page =
        || String::from_utf8(workspace.read("report.html")).unwrap().contains("from stage `sft`, on ");
    assert!(!alone.out.contains("from stage") && !on_page(), "{}", alone.out);
    assert_eq!(workspace.read("comparison.json"), comparison);
    check_table(&workspace, &done(&workspace, &OTHER));
    assert!(on_page());
    assert_ne!(workspace.read("comparison.json"), comparison, "another dpo stage is compared");
    let kept = [kept[0], kept[1], kept[3]];
    assert_eq!(kept.map(|path| written(&workspace, path)), [times[0], times[1], times[3]]);
}

#[test]
fn five_ways_to_learn_preferences_fully_tuned() {
    check_compare("full");
}

#[test]
fn five_ways_to_learn_preferences_with_lora() {
    check_compare("lora");
}

/// `comparison.json` and the table that is printed: one row a stage, in order, with figures.
fn check_table(workspace: &Workspace, said: &Printed) {
    let comparisons: Value = serde_json::from_slice(&workspace.read("comparison.json")).unwrap();
    let [comparison] = comparisons.as_array().unwrap().as_slice() else { panic!("{comparisons}") };
    let figure = |row: &Value, name: &str| {
        let figure = row[name].as_f64().unwrap_or_else(|| panic!("{name} of {row}"));
        assert!(figure.is_finite(), "{name} of {row}");
        figure
    };
    assert_eq!(comparison["start"], "stage `sft`");
    assert!(figure(comparison, "pairs") >= 1.0 && figure(comparison, "start_answer_length") >= 1.0);
    let rows = comparison["stages"].as_array().unwrap();
    let named: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(named, COMPARED);
    for row in rows {
        assert_eq!(row["kind"], row["name"]);
        assert!((0.0..=1.0).contains(&figure(row, "reward_accuracy")), "{row}");
        assert!(figure(row, "margin") != 0.0 && figure(row, "kl") != 0.0, "trained: {row}");
        assert!(figure(row, "answer_length") >= 1.0 && figure(row, "seconds") > 0.0, "{row}");
    }
    let table = said.out.split_once("from stage `sft`, on ").expect("a table is printed").1;
    let printed: Vec<Vec<&str>> =
        table.lines().skip(3).take(5).map(|l| l.split_whitespace().collect()).collect();
    let starts: Vec<_> = printed.iter().map(|cells| &cells[..2]).collect();
    assert_eq!(starts, COMPARED.map(|name| [name, name]));
}
