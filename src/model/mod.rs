//! Architectures, weights and the decoder.

pub mod attention;
pub mod config;
pub mod decoder;
pub mod layer;
pub mod linear;
pub mod lora;
pub mod param;
pub mod rope;
pub mod spec;
pub mod weights;
