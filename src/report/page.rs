//! `report.html`: one page that needs nothing else. Curves, answers, settings, rows left out.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use serde_json::Value;

use crate::plan::document::{Plan, StagePlan};
use crate::plan::folder::RunFolder;
use crate::plan::resolve::Resolved;
use crate::report::comparison;
use crate::report::curve::{Curve, curve};
use crate::report::number;
use crate::report::samples::BeforeAfter;
use crate::report::stage_report::StageReport;
use crate::template;

const TEMPLATE: &str = include_str!("../../templates/report.html.jinja");

/// Curves of a stage: title, metric.
const CURVES: [(&str, &str); 19] = [
    ("loss", "loss"),
    ("held-out loss", "eval_loss"),
    ("right held-out answers", "eval_exact_match"),
    ("score", "objective/scores"),
    ("held-out score", "eval_objective/scores"),
    ("KL to the reference", "objective/kl"),
    ("KL of a response, upper tenth", "objective/kl_q90"),
    ("distinct responses", "val/distinct_responses"),
    ("most frequent response", "val/top_response"),
    ("accuracy", "accuracy"),
    ("held-out accuracy", "eval_accuracy"),
    ("margin of scores", "margin"),
    ("KL estimate", "kl"),
    ("reward accuracy", "rewards/accuracies"),
    ("held-out reward accuracy", "eval_rewards/accuracies"),
    ("reward margin", "rewards/margins"),
    ("held-out reward margin", "eval_rewards/margins"),
    ("gradient norm", "grad_norm"),
    ("learning rate", "learning_rate"),
];

#[derive(Serialize)]
struct Page<'a> {
    recipe: &'a str,
    source: &'a str,
    overrides: &'a [String],
    base: String,
    parameters: String,
    stages: Vec<Section>,
    comparisons: Vec<Table>,
}

/// A table of text.
#[derive(Serialize)]
struct Table {
    title: String,
    heading: Vec<String>,
    rows: Vec<Vec<String>>,
}

#[derive(Serialize)]
struct Section {
    name: String,
    kind: &'static str,
    steps: String,
    time: String,
    tokens_per_second: String,
    result: String,
    warnings: Vec<String>,
    /// Metric, before, after.
    held_out: Vec<(String, String, String)>,
    curves: Vec<Curve>,
    samples: Vec<BeforeAfter>,
    settings: BTreeMap<String, String>,
    rows_train: String,
    rows_held_out: String,
    /// Reason, rows.
    left_out: Vec<(String, String)>,
    fingerprint: String,
}

/// The page of all stages that are finished.
pub fn page(recipe: &Resolved, plan: &Plan, folder: &RunFolder) -> Result<String> {
    let finished = plan.stages.iter().filter(|stage| folder.stage(stage.name()).model().exists());
    // a stage that ran by itself says nothing of those it was compared with
    let is_planned = |name: &str| plan.stages.iter().any(|stage| stage.name() == name);
    render(&Page {
        recipe: &recipe.name,
        source: &recipe.source,
        overrides: &recipe.overrides,
        base: plan.base.artifact.base.display().to_string(),
        parameters: number::short(plan.base.parameters as f64),
        comparisons: comparison::read(folder)
            .iter()
            .filter(|found| found.stages.iter().all(|stage| is_planned(&stage.name)))
            .map(|found| Table {
                title: comparison::title(found),
                heading: comparison::heading(),
                rows: comparison::rows(found).collect(),
            })
            .collect(),
        stages: finished.map(|stage| section(stage, folder)).collect::<Result<_>>()?,
    })
}

fn render(page: &Page) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let mut syntax = SyntaxConfig::builder();
    syntax.trim_blocks(true).lstrip_blocks(true);
    environment.set_syntax(syntax.build().context("cannot render the report")?);
    environment
        .render_str(TEMPLATE, template::value(&serde_json::to_value(page)?))
        .context("cannot render the report")
}

fn section(stage: &StagePlan, folder: &RunFolder) -> Result<Section> {
    let report = StageReport::read(stage, folder)?;
    let held_out = report.rows.first().map(|row| row.metrics.keys().cloned().collect::<Vec<_>>());
    let held_out = held_out.unwrap_or_default().into_iter().filter(|name| name.starts_with("eval_"));
    let held_out = held_out.filter_map(|name| {
        let (before, after) = report.before_after(&name)?;
        let title = name.trim_start_matches("eval_").to_owned();
        Some((title, number::metric(before), number::metric(after)))
    });
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let settings = stage.inputs.settings.iter().map(|(key, value)| (key.clone(), shown(value)));
    let model = stage.result.adapter.as_ref().unwrap_or(&stage.result.base);
    let counts = &stage.counts;
    Ok(Section {
        held_out: held_out.collect(),
        curves: CURVES.iter().filter_map(|(title, metric)| curve(title, metric, &report.rows)).collect(),
        steps: number::count(report.summary.steps),
        time: number::duration(report.summary.seconds),
        tokens_per_second: number::short(report.summary.tokens_per_second()),
        result: model.display().to_string(),
        settings: settings.collect(),
        rows_train: number::count(counts.train.rows),
        rows_held_out: number::count(counts.held_out.rows),
        left_out: counts
            .reasons
            .iter()
            .map(|(reason, rows)| (reason.clone(), number::count(*rows)))
            .collect(),
        fingerprint: stage.fingerprint.clone(),
        warnings: report.summary.warnings,
        name: report.name,
        kind: report.kind,
        samples: report.samples,
    })
}
