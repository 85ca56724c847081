//! `runner check`: everything that can be wrong before a run, at once.

use std::io::{Write, stdout};

use anyhow::Result;
use clap::Args;

use super::recipe_args::RecipeArgs;
use crate::plan::planner::{Options, plan};
use crate::plan::resolve::Purpose;
use crate::report::console::Console;
use crate::report::number::count;

/// Checks a recipe, its files and every row of its data, without loading a model.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
}

/// Errors with every problem found.
pub fn run(args: &CheckArgs) -> Result<()> {
    let recipe = args.recipe.load(Purpose::Run)?;
    recipe.check_weights()?;
    let plan = plan(&recipe, &Options::default(), &Console::stderr().watch(|| Ok(())))?.plan;
    let mut out = stdout();
    writeln!(out, "{} is sound", args.recipe.recipe.display())?;
    for warning in &plan.base.warnings {
        writeln!(out, "  warning: {warning}")?;
    }
    for stage in &plan.stages {
        let counts = &stage.counts;
        writeln!(
            out,
            "  {}: {} rows to train on, {} held out, {} cut, {} dropped",
            stage.name(),
            count(counts.train.rows),
            count(counts.held_out.rows),
            count(counts.rows_cut),
            count(counts.rows_dropped)
        )?;
        for warning in &counts.warnings {
            writeln!(out, "    warning: {warning}")?;
        }
    }
    Ok(())
}
