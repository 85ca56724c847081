//! Adapters in PEFT's layout: what `adapter_config.json` says, and where each tensor of
//! `adapter_model.safetensors` belongs. Nothing here reads a weight, so a check asks the same questions
//! as a run.

mod config;
mod contents;
mod keys;
mod modules;

pub use config::{AdapterConfig, CONFIG};
pub use contents::{Adapter, Low, PREFIX, Places, Table, WEIGHTS};
pub use modules::{EMBEDDING, HEAD};
