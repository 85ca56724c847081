//! Chat templates: Jinja2 as Hugging Face's `apply_chat_template` sets it up, byte for byte.

mod arguments;
mod assignments;
mod bounds;
mod chat;
mod closures;
mod comparison;
mod context;
mod dumps;
mod environment;
mod escapes;
mod filters;
mod functions;
mod generation;
mod json;
mod lexer;
mod literals;
mod lookup;
mod macros;
mod markup;
mod mentions;
mod message;
mod method_names;
mod methods;
mod namespace;
mod numbers;
mod object_impls;
mod objects;
mod operands;
mod operators;
mod parser;
mod pprint;
mod printf;
mod python;
mod reads;
mod registration;
mod rendering;
mod rewrite;
mod sequences;
mod shipped;
mod slice;
mod sources;
mod spaces;
mod spec;
mod special_tokens;
mod str_format;
mod strftime;
mod strings;
mod syntax;
mod tests;
mod token;
mod turns;
mod wrap;
mod writer;

pub use chat::{ChatTemplate, Kwargs, Rendering, is_reserved, reserved};
pub use context::Context;
pub(crate) use json::value;
pub use message::{Message, REASONING};
pub use shipped::names as shipped_names;

pub use sources::{ADDITIONAL, DEFAULT, OF_MODEL, TOOL_USE, choices, own};
pub use special_tokens::SpecialTokens;
pub use turns::TurnParts;

/// The file of a model's folder that holds its template.
pub const CHAT_TEMPLATE: &str = "chat_template.jinja";
