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
use crate::plan::staleness;
use crate::report::comparison;
use crate::report::curve::{Curve, curve};
use crate::report::metrics::MetricsRow;
use crate::report::samples::BeforeAfter;
use crate::report::stage_report::StageReport;
use crate::report::{metric, number};
use crate::template;
use crate::train::metric::{Curves, HELD_OUT_PREFIX, Metric, held_out};

const TEMPLATE: &str = include_str!("../../templates/report.html.jinja");

#[derive(Serialize)]
struct Page<'a> {
    recipe: &'a str,
    source: &'a str,
    overrides: &'a [String],
    base: String,
    parameters: String,
    stages: Vec<Section>,
    comparisons: Vec<PageTable>,
}

/// A table of text.
#[derive(Serialize)]
struct PageTable {
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
    /// Name of the metric, its value before the stage, its value after.
    held_out: Vec<(String, String, String)>,
    curves: Vec<Curve>,
    samples: Vec<BeforeAfter>,
    settings: BTreeMap<String, String>,
    rows_train: String,
    rows_held_out: String,
    /// The reason, and how many rows it left out.
    left_out: Vec<(String, String)>,
    fingerprint: String,
}

/// The page of all stages that are finished.
pub fn page(recipe: &Resolved, plan: &Plan, folder: &RunFolder) -> Result<String> {
    // An earlier result stays until the stage that replaces it is finished; the page is not about it.
    let is_finished = |stage: &&StagePlan| {
        let own = folder.stage(stage.name());
        own.model().exists() && staleness::is_of(&own, &stage.fingerprint)
    };
    let finished = plan.stages.iter().filter(is_finished);
    // a run of one stage alone does not plan those that it was compared with before
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
            .map(|found| PageTable {
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
    let held_out = held_out.unwrap_or_default().into_iter().filter(|name| name.starts_with(HELD_OUT_PREFIX));
    let held_out = held_out.filter_map(|name| {
        let (before, after) = report.before_after(&name)?;
        let title = name.trim_start_matches(HELD_OUT_PREFIX).to_owned();
        Some((title, number::metric(before), number::metric(after)))
    });
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let settings = stage.inputs.settings.iter().map(|(key, value)| (key.clone(), shown(value)));
    let model = stage.result.adapter.as_ref().unwrap_or(&stage.result.base);
    let counts = &stage.counts;
    Ok(Section {
        held_out: held_out.collect(),
        curves: metric::of_kind(&stage.settings.kind)
            .flat_map(|metric| curves(metric, &report.rows))
            .collect(),
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

/// The curves of a metric, those that have something to show.
fn curves(metric: Metric, rows: &[MetricsRow]) -> impl Iterator<Item = Curve> {
    let training = |title: &str| curve(title, metric.name, rows);
    let held_out = |title: &str| curve(title, &held_out(metric.name), rows);
    let both = match metric.curve {
        Curves::None => [None, None],
        Curves::Training(title) => [training(title), None],
        Curves::HeldOut(title) => [held_out(title), None],
        Curves::Both(title) => [training(title), held_out(&format!("held-out {title}"))],
    };
    both.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::Kind;
    use crate::train::Metrics;

    /// The titles of the curves of a kind, where all its metrics have two values.
    fn titles(kind: Kind) -> Vec<String> {
        let names = metric::all().iter().flat_map(|metric| [metric.name.to_owned(), held_out(metric.name)]);
        let metrics: Metrics = names.map(|name| (name, 1.0)).collect();
        let rows = [1, 2].map(|step| MetricsRow::new(step, 0.0, &metrics));
        metric::of_kind(&kind.defaults())
            .flat_map(|metric| curves(metric, &rows))
            .map(|curve| curve.title)
            .collect()
    }

    #[test]
    fn each_kind_has_its_curves_between_those_of_every_kind() {
        let first = ["loss", "held-out loss", "right held-out answers"];
        let last = ["gradient norm", "learning rate"];
        let own: [(Kind, &[&str]); 5] = [
            (Kind::Sft, &[]),
            (Kind::Rm, &["accuracy", "held-out accuracy", "margin of scores"]),
            (
                Kind::Ppo,
                &[
                    "score",
                    "held-out score",
                    "KL to the reference",
                    "KL of a response, upper tenth",
                    "distinct responses",
                    "most frequent response",
                ],
            ),
            (
                Kind::Dpo,
                &["reward accuracy", "held-out reward accuracy", "reward margin", "held-out reward margin"],
            ),
            (Kind::Kto, &["KL estimate", "reward margin", "held-out reward margin"]),
        ];
        for (kind, own) in own {
            assert_eq!(titles(kind), [first.as_slice(), own, &last].concat(), "{}", kind.name());
        }
    }
}
