//! What a user writes: the keys of a recipe, their schema, and what is said when one is wrong.
//!
//! | file | what it holds |
//! |---|---|
//! | [`written`] | the top level of a recipe, each key an `Option` |
//! | [`model`], [`data`], [`stage`] | the keys of its tables |
//! | [`names`] | what names may be |
//! | [`schema`] | the JSON Schema generated from those types, and from those of the kinds |
//! | [`document`] | TOML text → JSON and the place of every key |
//! | [`overrides`] | `--set a.b=c` |
//! | [`violations`] | what the schema refuses, in our words |
//! | [`diagnostics`] | problems with places, and how they are printed |
//! | [`wording`], [`suggest`] | the words of messages; "did you mean" |

pub mod data;
pub mod diagnostics;
pub mod document;
pub mod model;
pub mod names;
pub mod overrides;
pub mod schema;
pub mod stage;
pub mod suggest;
pub mod violations;
pub mod wording;
pub mod written;
