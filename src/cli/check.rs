//! `runner check`: everything that can be wrong before a run, at once.

use std::fmt::Write;

use anyhow::Result;
use clap::Args;

use super::recipe_args::RecipeArgs;
use super::usage_error::wrong_input;
use crate::plan::planner::{Options, plan};
use crate::plan::resolve::RecipeUse;
use crate::report::console::Console;
use crate::report::rows;
use crate::terminal::print;

/// Checks a recipe, its files and every row of its data, without loading a model.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// Errors with every problem found.
pub fn run(args: &CheckArgs) -> Result<()> {
    let recipe = args.recipe.load(RecipeUse::Run)?;
    recipe.check_weights()?;
    let console = Console::stderr();
    let plan = plan(&recipe, &Options::default(), &console.watch(|| Ok(()))).map_err(wrong_input)?.plan;
    let mut out = String::new();
    writeln!(out, "{} is sound", args.recipe.recipe.display())?;
    for warning in &plan.base.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    for stage in &plan.stages {
        let counts = &stage.counts;
        writeln!(out, "  {}: {}", stage.name(), rows::kept(counts))?;
        for reason in rows::reasons(counts, usize::MAX) {
            writeln!(out, "    {reason}")?;
        }
        for warning in &counts.warnings {
            writeln!(out, "    warning: {warning}")?;
        }
    }
    Ok(print(&out)?)
}
