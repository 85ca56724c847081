//! `runner schema`: prints a JSON Schema.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::recipe;

/// Prints the JSON Schema that editors and `check` hold a file against.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {
    /// What the schema describes.
    #[arg(value_enum, default_value_t = SchemaOf::Recipe)]
    pub of: SchemaOf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// A recipe (`schemas/recipe.schema.json`).
    Recipe,
}

/// Writes the schema to standard output. Errors if that is closed.
pub fn run(args: &SchemaArgs) -> Result<()> {
    let text = match args.of {
        SchemaOf::Recipe => recipe::schema::recipe_text(),
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write the schema")
}
