//! The plan as a person reads it.

use std::fmt::Write;

use crate::kinds::{Role, Source};
use crate::model::artifact::Artifact;
use crate::plan::document::{Plan, StagePlan};
use crate::plan::estimate::{MemoryEstimate, Work};
use crate::plan::staleness::Status;
use crate::report::number::{bytes, count, duration, short};
use crate::report::rows;

/// The whole plan, one block per stage.
pub fn table(plan: &Plan) -> String {
    let base = plan.base.artifact.base.display();
    let origin = if plan.base.scratch { "random weights in" } else { "" };
    let mut text = format!(
        "{} → {}\n\nbase: {origin} {base}, {} parameters",
        plan.recipe,
        plan.folder.display(),
        short(plan.base.parameters as f64)
    )
    .replace(":  ", ": ");
    if let Some(adapter) = &plan.base.artifact.adapter {
        text += &format!(", with the adapter {}", adapter.display());
    }
    text += &format!("\ndevice: {}, {}\n", plan.base.device, plan.base.dtype.name());
    for warning in &plan.base.warnings {
        text += &format!("warning: {warning}\n");
    }
    for (i, stage) in plan.stages.iter().enumerate() {
        block(&mut text, i + 1, stage);
    }
    text
}

fn block(text: &mut String, number: usize, stage: &StagePlan) {
    let settings = &stage.settings;
    let tuner = settings.training.tuner.summary();
    let kind = settings.kind.name();
    let trainable = short(stage.trainable as f64);
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{number}. {}: {kind}, {tuner}, {trainable} parameters trained", stage.name());
    let mut line = |label: &str, value: String| {
        let _ = writeln!(text, "   {label:<10} {value}");
    };
    line("policy", model(&settings.policy, &stage.policy));
    let artifacts = [(Role::Reference, &stage.reference), (Role::Reward, &stage.reward)];
    let facts = settings.kind.facts();
    for (role, source) in facts.sources {
        let artifact = artifacts.iter().find(|(name, _)| *name == role).and_then(|(_, found)| found.as_ref());
        line(role.key(), artifact.map(|artifact| model(source, artifact)).unwrap_or_default());
    }
    if facts.has_reference && stage.reference.is_none() {
        line("reference", "the policy as the stage starts".to_owned());
    }
    line("data", data(stage));
    if !stage.counts.reasons.is_empty() {
        let reasons = stage.counts.reasons.iter().map(|(reason, rows)| format!("{reason}: {}", count(*rows)));
        line("", reasons.collect::<Vec<_>>().join(", "));
    }
    for warning in &stage.counts.warnings {
        line("warning", warning.clone());
    }
    line("tokens", tokens(stage));
    line("steps", steps(stage));
    line("memory", memory(&stage.memory));
    line("work", work(&stage.work));
    line("result", result(stage));
    line("status", status(&stage.status));
}

fn model(source: &Source, artifact: &Artifact) -> String {
    let path = artifact.adapter.as_ref().unwrap_or(&artifact.base).display();
    match source {
        Source::Base => format!("base ({path})"),
        Source::Stage(name) => format!("stage `{name}` ({path})"),
        Source::Folder(_) => path.to_string(),
    }
}

fn data(stage: &StagePlan) -> String {
    format!("{}: {}", stage.settings.data, rows::kept(&stage.counts))
}

fn tokens(stage: &StagePlan) -> String {
    let train = &stage.counts.train;
    match stage.settings.kind.facts().rollouts {
        Some(rollouts) => format!(
            "{} of prompts an epoch; memory and work count every response at its full length, {} tokens",
            count(train.shared),
            count(rollouts.response_length as u64)
        ),
        None => format!(
            "{} an epoch ({} with a prompt for every answer), {} trained on",
            count(train.shared),
            count(train.unshared),
            count(train.trained)
        ),
    }
}

fn steps(stage: &StagePlan) -> String {
    let steps = stage.steps;
    let of_update = match stage.settings.kind.facts().rollouts {
        Some(rollouts) => format!("; {} an update", count(rollouts.episodes.steps_per_window)),
        None => String::new(),
    };
    let (total, an_epoch) = (count(steps.total), count(steps.per_epoch));
    format!("{total} ({an_epoch} an epoch, {} epochs{of_update})", rounded(steps.epochs))
}

fn memory(memory: &MemoryEstimate) -> String {
    let cache = match memory.cache {
        0 => String::new(),
        cache => format!(", keys and values {}", bytes(cache)),
    };
    let workspace = match memory.workspace {
        0 => String::new(),
        workspace => format!(", workspace of products {}", bytes(workspace)),
    };
    format!(
        "{} at most: weights {}, gradients {}, optimiser {}, activations {}, logits {}{cache}{workspace}",
        bytes(memory.total()),
        bytes(memory.weights),
        bytes(memory.gradients),
        bytes(memory.optimiser),
        bytes(memory.activations),
        bytes(memory.logits)
    )
}

fn work(work: &Work) -> String {
    let how = if work.measured { "measured on the last run" } else { "assumed" };
    format!(
        "{}FLOP, about {} at {}FLOP/s ({how})",
        short(work.total()),
        duration(work.seconds()),
        short(work.flops_per_second)
    )
}

fn result(stage: &StagePlan) -> String {
    match &stage.result.adapter {
        Some(adapter) => format!("{} (adapter on {})", adapter.display(), stage.result.base.display()),
        None => format!("{} (whole model)", stage.result.base.display()),
    }
}

/// What a run will make of the stage.
pub fn status(status: &Status) -> String {
    match status {
        Status::New => "will run".to_owned(),
        Status::Finished => "done; nothing has changed".to_owned(),
        Status::HalfFinished => "half-finished; will go on from its newest checkpoint".to_owned(),
        Status::Stale { reasons } => {
            let reasons: Vec<String> = reasons.iter().map(ToString::to_string).collect();
            format!("will run again: {}", reasons.join("; "))
        }
    }
}

/// A number with at most two decimals.
fn rounded(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
