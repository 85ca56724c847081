//! Architectures, weights and the decoder.

pub mod adapter;
pub mod attention;
pub mod config;
pub mod decoder;
pub mod fault;
pub mod folder;
pub mod footprint;
pub mod generate;
pub mod layer;
pub mod linear;
pub mod log_prob;
pub mod lora;
pub mod param;
pub mod policy;
pub mod pooling;
pub mod result;
pub mod rope;
pub mod score;
pub mod scratch;
pub mod spec;
pub mod value_head;
pub mod weights;
