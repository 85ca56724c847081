//! Chat templates: Jinja2 as Hugging Face's `apply_chat_template` sets it up, byte for byte.

mod chat;
mod dumps;
mod environment;
mod filters;
mod generation;
mod methods;
mod python;
mod shipped;
mod special_tokens;
mod strftime;
mod tests;

pub use chat::{ChatTemplate, Rendering};
pub use shipped::names as shipped_names;
pub use special_tokens::SpecialTokens;
