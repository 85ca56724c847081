//! `runner score`: a reward model's scores of pairs and of answers.

use std::fs;

use serde_json::Value;

use crate::small::{ROWS, rlhf};
use crate::workspace::{Printed, Workspace, root};

/// The first rows of a shipped data set, as a file on the workspace.
fn rows(workspace: &Workspace, name: &str) -> String {
    let text = fs::read_to_string(root().join("recipes/data").join(name)).unwrap();
    let first: String = text.split_inclusive('\n').take(ROWS).collect();
    fs::write(workspace.folder().join(name), first).unwrap();
    name.to_owned()
}

/// The chosen answers of the first rows of a shipped data set, as a file of their own.
fn chosen(workspace: &Workspace, name: &str) -> String {
    let text = fs::read_to_string(root().join("recipes/data").join(name)).unwrap();
    let answer = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        format!("{}\n", serde_json::json!({ "prompt": row["prompt"], "completion": row["chosen"] }))
    };
    let rows: String = text.lines().take(ROWS).map(answer).collect();
    fs::write(workspace.folder().join("chosen.jsonl"), rows).unwrap();
    "chosen.jsonl".to_owned()
}

fn score(workspace: &Workspace, model: &str, rows: &str) -> Printed {
    workspace.run_plain(&["score", &format!("runs/quickstart-rlhf/{model}/model"), rows])
}

/// The numbers `keys` of every line, which has these and `row` alone; rows come in order.
fn figures<const N: usize>(said: &Printed, keys: [&str; N]) -> Vec<[f64; N]> {
    assert_eq!(said.code, Some(0), "{}", said.err);
    let line = |(row, line): (usize, &str)| {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line.as_object().unwrap().len(), N + 1, "{line}");
        assert_eq!(line["row"], row, "{line}");
        keys.map(|key| line[key].as_f64().unwrap())
    };
    let figures: Vec<_> = said.out.lines().enumerate().map(line).collect();
    assert_eq!(figures.len(), ROWS);
    figures
}

/// The number behind `label` in the summary on standard error.
fn summary(said: &Printed, label: &str) -> f64 {
    let line = said.err.lines().last().unwrap();
    let behind = line.split_once(label).unwrap_or_else(|| panic!("{line}")).1;
    behind.trim_start().split(',').next().unwrap().parse().unwrap_or_else(|_| panic!("{line}"))
}

fn check(tuner: &str) {
    let workspace = rlhf(tuner);
    let trained = workspace.run(&["run", "--stage", "rm"]);
    assert_eq!(trained.code, Some(0), "{}", trained.err);

    let said = score(&workspace, "rm", &rows(&workspace, "quickstart.jsonl"));
    let pairs = figures(&said, ["chosen", "rejected"]);
    assert!(said.err.contains("60 pairs: accuracy "), "{}", said.err);
    let n = pairs.len() as f64;
    let right = pairs.iter().filter(|[chosen, rejected]| chosen > rejected).count() as f64 / n;
    let margin = pairs.iter().map(|[chosen, rejected]| chosen - rejected).sum::<f64>() / n;
    assert!((summary(&said, "accuracy") - right).abs() < 1e-4, "{right}: {}", said.err);
    assert!((summary(&said, "mean margin") - margin).abs() < 1e-4, "{margin}: {}", said.err);

    // the held-out rows are among them, with the scores that the stage itself gave
    let last = workspace.metrics("rm").pop().unwrap();
    for name in ["eval_min_reward", "eval_max_reward"] {
        let told = last[name].as_f64().unwrap();
        let nearest = pairs.as_flattened().iter().map(|score| (score - told).abs()).fold(f64::MAX, f64::min);
        assert!(nearest < 1e-6, "{name} is {told}; the nearest score is {nearest} from it");
    }

    // a chosen answer alone has the score that it has in its pair
    let said = score(&workspace, "rm", &chosen(&workspace, "quickstart.jsonl"));
    let answers = figures(&said, ["score"]);
    for (row, ([score], [chosen, _])) in answers.iter().zip(&pairs).enumerate() {
        assert!((chosen - score).abs() < 1e-6, "{row}: {score} is not {chosen}");
    }
    assert!(said.err.contains("60 answers: mean score "), "{}", said.err);
    let mean = answers.as_flattened().iter().sum::<f64>() / n;
    assert!((summary(&said, "mean score") - mean).abs() < 1e-4, "{mean}: {}", said.err);

    let said = score(&workspace, "sft", "quickstart.jsonl");
    assert_eq!(
        (said.code, said.out.as_str(), said.err.as_str()),
        (
            Some(2),
            "",
            "error: `runs/quickstart-rlhf/sft/model` is no reward model: it has no `value_head.safetensors`, \
             and its weights have no `score.weight`\n"
        )
    );
}

#[test]
fn a_fully_tuned_reward_model_scores() {
    check("full");
}

#[test]
fn a_reward_model_with_lora_scores() {
    check("lora");
}
