//! `runner bench`: times a stage's steps, or answers to its prompts.

use anyhow::Result;
use clap::Args;
use indexmap::IndexMap;
use serde::Serialize;

use super::recipe_args::RecipeArgs;
use super::usage_error::UsageError;
use crate::data::Need;
use crate::plan::resolve::RecipeUse;
use crate::report::console::Console;
use crate::report::number::{bytes, count, duration, metric, short};
use crate::run::bench::{GenerationBench, StepsBench, bench_generation, bench_steps};
use crate::terminal::print;

/// Times a stage's steps, or answers to its prompts, without saving anything.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The stage; without it, the last one.
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// Steps to time.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..))]
    pub steps: u64,
    /// Steps before those, not timed.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub warmup: u64,
    /// Time greedy answers of N tokens in place of steps, by the base model, past any end token.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..),
        conflicts_with_all = ["steps", "warmup"]
    )]
    pub generate: Option<u32>,
    /// Rows whose prompts are answered, from the top.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16,
        value_parser = clap::value_parser!(u32).range(1..),
        requires = "generate"
    )]
    pub prompts: u32,
    /// For programs: the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Errors if the recipe is wrong or has no such stage.
pub fn run(args: &BenchArgs) -> Result<()> {
    let recipe = args.recipe.load(RecipeUse::Run)?;
    let names: Vec<&str> = recipe.stages.iter().map(|stage| stage.name.as_str()).collect();
    let stage = args.stage.as_deref().or(names.last().copied()).unwrap_or_default();
    UsageError::unless(names.contains(&stage), || {
        format!("the recipe has no stage `{stage}`; it has `{}`", names.join("`, `"))
    })?;
    let console = Console::stderr();
    let text = match args.generate {
        Some(new_tokens) => {
            let found =
                bench_generation(&recipe, stage, args.prompts as usize, new_tokens as usize, &console)?;
            if args.json { json(&found)? } else { generation_table(&found) }
        }
        None => {
            let found = bench_steps(&recipe, stage, args.steps, args.warmup, &console)?;
            if args.json { json(&found)? } else { steps_table(&found, &recipe_unit(&recipe, stage)) }
        }
    };
    print(&text)?;
    Ok(())
}

fn json(found: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string_pretty(found)? + "\n")
}

/// What a row of the stage is called.
fn recipe_unit(recipe: &crate::plan::resolve::Resolved, stage: &str) -> String {
    let stage = recipe.stages.iter().find(|other| other.name == stage);
    let unit = match stage.map(|stage| stage.kind.facts().rows) {
        Some(Need::Preference) => "pairs",
        Some(Need::Prompt) => "prompts",
        Some(Need::Sft | Need::Unpaired { .. }) | None => "rows",
    };
    unit.to_owned()
}

fn steps_table(found: &StepsBench, unit: &str) -> String {
    let share = 100.0 * found.gflops / found.peak_gflops;
    let lines = [
        (format!("{unit}/s"), format!("{:.2}", found.rows_per_second)),
        ("useful tokens/s".to_owned(), short(found.useful_tokens_per_second)),
        ("peak memory".to_owned(), bytes(found.peak_bytes)),
        (
            "GFLOP/s".to_owned(),
            format!(
                "{:.0}, {share:.0} % of the {} peak measured here ({:.0})",
                found.gflops, found.dtype, found.peak_gflops
            ),
        ),
        ("time".to_owned(), {
            let (steps, before) = (duration(found.step_seconds), duration(found.prepare_seconds));
            format!("{steps} in steps, {before} before the first step (those rows' share)")
        }),
        ("by part".to_owned(), by_part(&found.parts)),
        ("grad_norm".to_owned(), metric(found.grad_norm)),
    ];
    let title = format!(
        "{} on {}, {}: {} steps of {} {unit} timed after {} to warm up, {} useful tokens",
        found.stage,
        found.device,
        found.dtype,
        found.steps,
        found.rows / found.steps,
        found.warmup_steps,
        count(found.useful_tokens)
    );
    table(&title, &lines)
}

/// Shares of a step by operation; measuring them makes the step slower.
fn by_part(parts: &IndexMap<&str, f64>) -> String {
    let whole: f64 = parts.values().sum();
    let share = |(part, seconds): (&&str, &f64)| format!("{part} {:.0} %", 100.0 * seconds / whole);
    parts.iter().map(share).collect::<Vec<_>>().join(", ")
}

fn generation_table(found: &GenerationBench) -> String {
    let lines = [
        ("new tokens/s".to_owned(), short(found.new_tokens_per_second)),
        ("peak memory".to_owned(), bytes(found.peak_bytes)),
        ("time".to_owned(), {
            let prefill = found.prefill_seconds;
            format!("{}, {prefill:.2} s of it to the first token of each answer", duration(found.seconds))
        }),
    ];
    let title = format!(
        "{}: {} new tokens for each of {} prompts, {} prompt tokens",
        found.stage,
        found.new_tokens / found.prompts,
        found.prompts,
        count(found.prompt_tokens)
    );
    table(&title, &lines)
}

fn table(title: &str, lines: &[(String, String)]) -> String {
    let mut text = format!("{title}\n");
    for (name, value) in lines {
        text.push_str(&format!("  {name:<16} {value}\n"));
    }
    text
}
