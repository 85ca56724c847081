//! Chat templates: Jinja2 as Hugging Face's `apply_chat_template` sets it up, byte for byte.

mod arguments;
mod chat;
mod dumps;
mod environment;
mod filters;
mod generation;
mod methods;
mod python;
mod rewrite;
mod shipped;
mod slice;
mod special_tokens;
mod strftime;
mod strings;
mod tests;

pub(crate) use chat::value;
pub use chat::{ChatTemplate, Rendering};
pub use shipped::names as shipped_names;

pub use special_tokens::SpecialTokens;

/// The file of a model's folder that holds its template.
pub const CHAT_TEMPLATE: &str = "chat_template.jinja";
