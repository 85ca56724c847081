//! The shipped pipelines, small: few rows, few steps, short responses.

use crate::workspace::Workspace;

pub const RLHF: [&str; 3] = ["sft", "rm", "ppo"];
pub const COMPARED: [&str; 5] = ["dpo", "kto", "cpo", "orpo", "simpo"];

/// Rows of each data set, a tenth held out.
pub const ROWS: usize = 60;

fn with_sets(workspace: Workspace, stages: &[&str], tuner: &str, others: &[&str]) -> Workspace {
    let rows = [format!("data.pairs.limit={ROWS}"), format!("defaults.tuner={tuner}")];
    let each = stages.iter().flat_map(|stage| {
        let steps = (*stage != "ppo").then(|| format!("stage.{stage}.max_steps=3"));
        [format!("stage.{stage}.logging_steps=1")].into_iter().chain(steps)
    });
    let others = others.iter().map(|set| (*set).to_owned());
    workspace.with_sets(rows.into_iter().chain(each).chain(others))
}

/// `recipes/quickstart-rlhf.toml` with three updates of four steps in its last stage.
pub fn rlhf(tuner: &str) -> Workspace {
    let ppo = [
        "data.answers.limit=60",
        "stage.ppo.max_steps=12",
        "stage.ppo.batch_size=4",
        "stage.ppo.gradient_accumulation_steps=2",
        "stage.ppo.num_ppo_epochs=2",
        "stage.ppo.num_mini_batches=2",
        "stage.ppo.response_length=12",
    ];
    with_sets(Workspace::new("recipes/quickstart-rlhf.toml", "quickstart-rlhf"), &RLHF, tuner, &ppo)
}

/// `recipes/compare.toml`.
pub fn compare(tuner: &str) -> Workspace {
    let stages: Vec<&str> = std::iter::once("sft").chain(COMPARED).collect();
    with_sets(Workspace::new("recipes/compare.toml", "compare"), &stages, tuner, &[])
}
