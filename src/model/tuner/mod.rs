//! Which weights of a model are trained: all weights, or an adapter, and PEFT's files of adapters.

pub mod adapter;
pub mod lora;
mod settings;

pub use settings::{LoraSettings, TargetModule, TargetModules, TargetPreset, Tuner};
