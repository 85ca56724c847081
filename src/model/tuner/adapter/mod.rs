//! Adapters in PEFT's layout: what `adapter_config.json` says, and where each tensor of
//! `adapter_model.safetensors` belongs; what two of them must agree in; and how the configuration is
//! written. Nothing here reads a weight, so a check asks the same questions as a run.

mod config;
mod contents;
mod keys;
mod modules;
mod shape;
mod written;

pub use config::{AdapterConfig, CONFIG};
pub use contents::{Adapter, AdapterTable, Low, PREFIX, Places, WEIGHTS};
pub use modules::{EMBEDDING, HEAD, last};
pub use shape::{AdapterShape, Difference};
pub use written::Written;
