//! Architectures, weights and the decoder.

pub mod artifact;
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
pub mod param;
pub mod policy;
pub mod pooling;
pub mod result;
pub mod rope;
pub mod score;
pub mod scratch;
pub mod spec;
pub mod tuner;
pub mod value_head;
pub mod weights;
