//! What a run ends with: a table of the stages, answers before and after, where the results are, and
//! what to do next.

use std::fmt::Write;
use std::path::Path;

use crate::model::artifact::Artifact;
use crate::report::columns::columns;
use crate::report::stage_report::StageReport;
use crate::report::{metric, number};
use crate::train::metric::{Column, Metric, held_out};

/// Questions that are shown.
const QUESTIONS: usize = 3;
/// Characters of an answer that are shown.
const ANSWER_WIDTH: usize = 96;

/// The stages' table. Held-out figures are those before → after the stage.
pub fn table(stages: &[StageReport]) -> String {
    let mut heading: Vec<String> = ["", "steps", "training", "tokens/s"].map(str::to_owned).to_vec();
    let headings = held_out_headings();
    for title in &headings {
        let any = stages.iter().any(|stage| before_after(stage, title).is_some());
        heading.push(if any { (*title).to_owned() } else { String::new() });
    }
    let row = |stage: &StageReport| {
        let figure = |title: &&str| match before_after(stage, title) {
            Some((before, after)) => format!("{} → {}", number::metric(before), number::metric(after)),
            None => String::new(),
        };
        let summary = &stage.summary;
        let mut cells = vec![
            stage.name.clone(),
            number::count(summary.steps),
            number::duration(summary.seconds),
            number::short(summary.tokens_per_second()),
        ];
        cells.extend(headings.iter().map(figure));
        cells
    };
    let rows: Vec<Vec<String>> = std::iter::once(heading).chain(stages.iter().map(row)).collect();
    columns(&rows).join("\n")
}

/// Headings of the columns of held-out metrics, from left to right.
fn held_out_headings() -> Vec<&'static str> {
    let (mut headings, mut rightmost) = (Vec::new(), Vec::new());
    for metric in metric::all() {
        let (side, title) = match metric.column {
            Column::None => continue,
            Column::Titled(title) => (&mut headings, title),
            Column::Rightmost(title) => (&mut rightmost, title),
        };
        if !side.contains(&title) {
            side.push(title);
        }
    }
    headings.extend(rightmost);
    headings
}

/// The held-out figures of a stage's metric in the column of that heading.
fn before_after(stage: &StageReport, heading: &str) -> Option<(f64, f64)> {
    let is_here = |metric: &&Metric| match metric.column {
        Column::None => false,
        Column::Titled(title) | Column::Rightmost(title) => title == heading,
    };
    let metrics = metric::all().iter().filter(is_here);
    metrics.map(|metric| held_out(metric.name)).find_map(|name| stage.before_after(&name))
}

/// The warnings of the stages, one per line.
pub fn warnings(stages: &[StageReport]) -> String {
    let of = |stage: &StageReport| {
        let name = stage.name.clone();
        stage
            .summary
            .warnings
            .iter()
            .map(move |text| format!("warning: {name}: {text}\n"))
            .collect::<Vec<_>>()
    };
    stages.iter().flat_map(of).collect()
}

/// Held-out questions, with the answers of the untrained model and of every stage's result.
pub fn answers(stages: &[StageReport]) -> String {
    let Some(last) = stages.iter().rfind(|stage| !stage.samples.is_empty()) else { return String::new() };
    let mut text = String::new();
    for sample in last.samples.iter().take(QUESTIONS) {
        let same = |stage: &&StageReport| stage.samples.iter().any(|other| other.prompt == sample.prompt);
        let mut rows = vec![("question".to_owned(), &sample.prompt)];
        for stage in stages.iter().filter(same) {
            for answered in stage.samples.iter().filter(|other| other.prompt == sample.prompt).take(1) {
                if rows.len() == 1 {
                    rows.push((format!("before {}", stage.name), &answered.before));
                }
                rows.push((format!("after {}", stage.name), &answered.after));
            }
        }
        let width = rows.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0);
        for (label, said) in rows {
            let space = " ".repeat(width - label.chars().count());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {label}{space}  {}", one_line(said));
        }
        text.push('\n');
    }
    text.trim_end().to_owned()
}

/// Where the results are, and how to load the last one in Python.
pub fn results(results: &[(String, Artifact)], report: &Path) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, artifact) in results {
        let (path, what) = match &artifact.adapter {
            Some(adapter) => (adapter, format!("adapter on {}", artifact.base.display())),
            None => (&artifact.base, "whole model".to_owned()),
        };
        rows.push(vec![format!("  {name}  {}", path.display()), what]);
    }
    rows.push(vec![format!("  {}", report.display()), "curves, answers, settings".to_owned()]);
    let width = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0);
    let lines = rows.iter().map(|row| {
        let space = " ".repeat(width - row[0].chars().count());
        format!("{}{space}  {}", row[0], row[1])
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The Python that loads a result.
pub fn python(artifact: &Artifact) -> String {
    let base = python_string(&artifact.base);
    match &artifact.adapter {
        Some(adapter) => format!(
            "  from transformers import AutoModelForCausalLM, GenerationConfig\n  from peft import PeftModel\n  \
             model = AutoModelForCausalLM.from_pretrained({base})\n  \
             model = PeftModel.from_pretrained(model, {adapter})\n  \
             model.generation_config = GenerationConfig.from_pretrained({adapter})",
            adapter = python_string(adapter)
        ),
        None => format!(
            "  from transformers import AutoModelForCausalLM\n  \
             model = AutoModelForCausalLM.from_pretrained({base})"
        ),
    }
}

fn python_string(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

fn one_line(text: &str) -> String {
    // Control characters could do anything to a terminal.
    let shown = |c: char| {
        if c == '\n' {
            '⏎'
        } else if c.is_control() {
            '·'
        } else {
            c
        }
    };
    let line: String = text.trim().chars().map(shown).collect();
    if line.is_empty() {
        return "(nothing)".to_owned();
    }
    if line.chars().count() <= ANSWER_WIDTH {
        return line;
    }
    let cut: String = line.chars().take(ANSWER_WIDTH - 1).collect();
    format!("{cut}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_come_in_the_order_of_the_kinds() {
        let headings = [
            "held-out loss",
            "token accuracy",
            "reward accuracy",
            "reward margin",
            "score",
            "KL",
            "distinct",
            "exact match",
        ];
        assert_eq!(held_out_headings(), headings);
    }
}
