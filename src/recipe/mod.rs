//! What a user writes: the keys of a recipe, their schema, and what is said when one is wrong.
//!
//! | file | what it holds |
//! |---|---|
//! | [`written`] | the top level of a recipe, every key an `Option` |
//! | [`model`], [`data`], [`stage`] | the keys of its tables |
//! | [`kind_keys`] | keys of a stage that several kinds have, and all that not every kind has |
//! | [`rm`], [`ppo`], [`dpo`], [`kto`], [`cpo`], [`orpo`], [`simpo`] | the keys and defaults of a kind |
//! | [`loss_type`] | the losses to choose from |
//! | [`schema`] | the JSON Schema generated from those types |
//! | [`document`] | TOML text → JSON and the place of every key |
//! | [`overrides`] | `--set a.b=c` |
//! | [`violations`] | what the schema refuses, in our words |
//! | [`diagnostics`] | problems with places, and how they are printed |
//! | [`wording`], [`suggest`] | the words of messages; "did you mean" |

pub mod cpo;
pub mod data;
pub mod diagnostics;
pub mod document;
pub mod dpo;
pub mod kind_keys;
pub mod kto;
pub mod loss_type;
pub mod model;
pub mod orpo;
pub mod overrides;
pub mod ppo;
pub mod rm;
pub mod schema;
pub mod simpo;
pub mod stage;
pub mod suggest;
pub mod violations;
pub mod wording;
pub mod written;
