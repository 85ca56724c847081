//! What every command on a recipe takes.

use std::io::{IsTerminal, stderr};
use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use crate::plan::resolve::{RecipeUse, Resolved, load};
use crate::terminal::tell;

#[derive(Debug, Clone, Args)]
pub struct RecipeArgs {
    /// The recipe, a TOML file.
    pub recipe: PathBuf,
    /// Set a key for this time, e.g. `stage.dpo.beta=0.2`; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub overrides: Vec<String>,
}

impl RecipeArgs {
    /// Reads and resolves the recipe, and prints its warnings. Errors with every problem at once.
    pub fn load(&self, purpose: RecipeUse) -> Result<Resolved> {
        let recipe = load(&self.recipe, &self.overrides, purpose)?;
        if !recipe.warnings.is_empty() {
            recipe.warnings.tell(stderr().is_terminal());
            tell("");
        }
        Ok(recipe)
    }
}
