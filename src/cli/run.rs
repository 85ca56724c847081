//! `runner run`: runs a recipe.

use anyhow::Result;
use clap::Args;

use super::recipe_args::RecipeArgs;
use super::usage_error::UsageError;
use crate::plan::folder::RunFolder;
use crate::plan::planner::Options;
use crate::plan::resolve::RecipeUse;
use crate::report::console::Console;
use crate::report::{closing, comparison};
use crate::run::interrupt::Interrupt;
use crate::run::walk::{Walked, walk};
use crate::terminal::print;

/// Runs a recipe's stages; what is done already and has not changed is not done again.
///
/// Ctrl-C finishes the step, saves and stops; the same command goes on from there.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Run this stage alone, with the stages that it needs.
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// Run everything again, whatever is done already.
    #[arg(long)]
    pub fresh: bool,
}

/// Errors if the recipe is wrong, a stage fails, or someone interrupts it.
pub fn run(args: &RunArgs) -> Result<()> {
    let recipe = args.recipe.load(RecipeUse::Run)?;
    if let Some(stage) = &args.stage {
        let names: Vec<&str> = recipe.stages.iter().map(|stage| stage.name.as_str()).collect();
        UsageError::unless(names.contains(&stage.as_str()), || {
            format!("the recipe has no stage `{stage}`; it has `{}`", names.join("`, `"))
        })?;
    }
    let options = Options { stage: args.stage.as_deref(), fresh: args.fresh };
    let interrupt = Interrupt::on_signals()?;
    let walked = walk(&recipe, &options, &interrupt, &Console::stderr())?;
    print(&closing_words(&walked, args))?;
    Ok(())
}

fn closing_words(walked: &Walked, args: &RunArgs) -> String {
    let Walked { plan, reports, comparisons } = walked;
    let report = RunFolder::of(&plan.recipe).report();
    let results: Vec<_> =
        plan.stages.iter().map(|stage| (stage.name().to_owned(), stage.result.clone())).collect();
    let places = closing::results(&results, &report);
    if reports.is_empty() {
        let done = if plan.stages.len() == 1 { "the stage is done" } else { "all stages are done" };
        return format!(
            "nothing to do: {done} and nothing has changed (`--fresh` runs them again)\n{places}\n"
        );
    }
    let mut text = format!("\n{}\n", closing::table(reports));
    text += &closing::warnings(reports);
    if !comparisons.is_empty() {
        text += &format!("\n{}\n", comparison::table(comparisons));
    }
    let answers = closing::answers(reports);
    if !answers.is_empty() {
        text += &format!("\nanswers to held-out questions\n{answers}\n");
    }
    text += &format!("\nresults\n{places}\n");
    // A reward model is no language model.
    if let Some((_, last)) = results.iter().rfind(|(_, artifact)| artifact.head.is_none()) {
        text += &format!("\nload it in Python\n{}\n", closing::python(last));
    }
    text += &format!(
        "\nnext: change a setting and run again; only what depends on it runs, e.g.\n  runner run {} --set stage.{}.learning_rate=…\n",
        args.recipe.recipe.display(),
        plan.stages.last().map_or("NAME", |stage| stage.name())
    );
    text
}
