//! `runner plan`: says what a run would do.

use std::io::{Write, stdout};

use anyhow::Result;
use clap::Args;

use super::recipe_args::RecipeArgs;
use super::usage_error::wrong_input;
use crate::plan::planner::{Options, plan};
use crate::plan::resolve::RecipeUse;
use crate::report::console::Console;
use crate::report::plan_table;
use crate::terminal::print;

/// Says what a run would do: rows, tokens, steps, memory, time, and what is done already.
#[derive(Debug, Clone, Args)]
pub struct PlanArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// For programs: the plan as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Reads all rows, but no weights. Errors if the recipe or a row is wrong.
pub fn run(args: &PlanArgs) -> Result<()> {
    let recipe = args.recipe.load(RecipeUse::Plan)?;
    let console = Console::stderr();
    let plan = plan(&recipe, &Options::default(), &console.watch(|| Ok(()))).map_err(wrong_input)?.plan;
    if args.json {
        writeln!(stdout(), "{}", serde_json::to_string_pretty(&plan)?)?;
    } else {
        print(&plan_table::table(&plan))?;
    }
    Ok(())
}
