//! Architectures, weights and the decoder.

pub mod spec;
