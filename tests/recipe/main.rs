//! Recipes: what is said of them, and their schema.

mod diagnostics;
mod schema;
