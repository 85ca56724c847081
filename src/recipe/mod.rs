//! What a user writes: the keys of a recipe, their schema, and what is said when one is wrong.
//!
//! | file | what it holds |
//! |---|---|
//! | [`written`] | the top level of a recipe, every key an `Option` |
//! | [`model`], [`data`], [`stage`], [`dpo`] | the keys of its tables |
//! | [`schema`] | the JSON Schema generated from those types |
//! | [`document`] | TOML text → JSON and the place of every key |
//! | [`overrides`] | `--set a.b=c` |
//! | [`violations`] | what the schema refuses, in our words |
//! | [`diagnostics`] | problems with places, and how they are printed |
//! | [`wording`], [`suggest`] | the words of messages; "did you mean" |

pub mod data;
pub mod diagnostics;
pub mod document;
pub mod dpo;
pub mod model;
pub mod overrides;
pub mod schema;
pub mod stage;
pub mod suggest;
pub mod violations;
pub mod wording;
pub mod written;
