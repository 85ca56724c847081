//! What names of a recipe may be.

/// Letters, digits, `.`, `_` and `-`: a name is a folder's name too.
pub const RECIPE_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9._-]*$";
/// Without dots, so that `--set stage.NAME.key` needs no quotes.
pub const TABLE_NAME: &str = "^[A-Za-z0-9][A-Za-z0-9_-]*$";
