//! The command line: one file per subcommand.

pub mod bench;
pub mod check;
pub mod exit;
pub mod marked;
pub mod plan;
mod recipe_args;
pub mod render;
pub mod run;
pub mod schema;
pub mod score;
mod usage_error;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Aligns language models by recipe: SFT, reward models, PPO, DPO and their kin, checked up front.
#[derive(Debug, Parser)]
#[command(name = "runner", version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::RunArgs),
    Check(check::CheckArgs),
    Plan(plan::PlanArgs),
    Render(render::RenderArgs),
    Score(score::ScoreArgs),
    Bench(bench::BenchArgs),
    Schema(schema::SchemaArgs),
}

impl Cli {
    /// Does what the command line asks for.
    pub fn run(self) -> Result<()> {
        match self.command {
            Command::Run(args) => run::run(&args),
            Command::Check(args) => check::run(&args),
            Command::Plan(args) => plan::run(&args),
            Command::Render(args) => render::run(&args),
            Command::Score(args) => score::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Schema(args) => schema::run(&args),
        }
    }
}
