//! `runner schema`: prints a JSON Schema.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::data::row_schema;
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
    /// A row for sft stages (`schemas/sft.schema.json`).
    Sft,
    /// A row of preferences (`schemas/preference.schema.json`).
    Preference,
    /// A row for kto stages (`schemas/unpaired.schema.json`).
    Unpaired,
    /// A row for ppo stages (`schemas/prompt.schema.json`).
    Prompt,
}

/// Writes the schema to standard output. Errors if that is closed.
pub fn run(args: &SchemaArgs) -> Result<()> {
    let text = match args.of {
        SchemaOf::Recipe => recipe::schema::recipe_text(),
        SchemaOf::Sft => row_schema::text(&row_schema::sft()),
        SchemaOf::Preference => row_schema::text(&row_schema::preference()),
        SchemaOf::Unpaired => row_schema::text(&row_schema::unpaired()),
        SchemaOf::Prompt => row_schema::text(&row_schema::prompt()),
    };
    io::stdout().write_all(text.as_bytes()).context("cannot write the schema")
}
