//! `runner bench`: times a stage.

use std::io::{Write, stdout};

use anyhow::Result;
use clap::Args;

use super::misuse::Misuse;
use super::recipe_args::RecipeArgs;
use crate::report::console::Console;
use crate::report::number::{bytes, count, duration, metric, short};
use crate::run::bench::{Bench, bench};

/// Times a stage's steps without saving anything.
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
    /// For programs: the figures as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Errors if the recipe is wrong or has no such stage.
pub fn run(args: &BenchArgs) -> Result<()> {
    let recipe = args.recipe.load()?;
    let names: Vec<&str> = recipe.stages.iter().map(|stage| stage.name.as_str()).collect();
    let stage = args.stage.as_deref().or(names.last().copied()).unwrap_or_default();
    Misuse::unless(names.contains(&stage), || {
        format!("the recipe has no stage `{stage}`; it has `{}`", names.join("`, `"))
    })?;
    let found = bench(&recipe, stage, args.steps, args.warmup, &Console::stderr())?;
    if args.json {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&found)?)?;
    } else {
        write!(stdout(), "{}", table(&found, &recipe_unit(&recipe, stage)))?;
    }
    Ok(())
}

/// What a row of the stage is called.
fn recipe_unit(recipe: &crate::plan::resolve::Resolved, stage: &str) -> String {
    let kind = recipe.stages.iter().find(|s| s.name == stage).map(|s| s.kind.name());
    if kind == Some("sft") { "rows".to_owned() } else { "pairs".to_owned() }
}

fn table(found: &Bench, unit: &str) -> String {
    let share = 100.0 * found.gflops / found.peak_gflops;
    let lines = [
        (format!("{unit}/s"), format!("{:.2}", found.rows_per_second)),
        ("useful tokens/s".to_owned(), short(found.useful_tokens_per_second)),
        ("peak memory".to_owned(), bytes(found.peak_resident_bytes)),
        (
            "GFLOP/s".to_owned(),
            format!(
                "{:.0}, {share:.0} % of the float32 peak measured here ({:.0})",
                found.gflops, found.peak_gflops
            ),
        ),
        ("time".to_owned(), {
            let (steps, before) = (duration(found.step_seconds), duration(found.prepare_seconds));
            format!("{steps} in steps, {before} before the first step (those rows' share)")
        }),
        ("grad_norm".to_owned(), metric(found.grad_norm)),
    ];
    let mut text = format!(
        "{}: {} steps of {} {unit} timed after {} to warm up, {} useful tokens\n",
        found.stage,
        found.steps,
        found.rows / found.steps,
        found.warmup_steps,
        count(found.useful_tokens)
    );
    for (name, value) in lines {
        text.push_str(&format!("  {name:<16} {value}\n"));
    }
    text
}
