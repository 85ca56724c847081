//! Tensor operations behind one function each. Storage, device and dtype are candle's; every
//! operation here is written for float32 on the CPU and checked against candle's tape in tests.

pub mod attention;
pub mod dropout;
pub mod embedding;
pub mod gated_mlp;
pub mod gpu;
pub mod lanes;
pub mod log_prob;
pub mod matmul;
pub mod memory;
pub mod norm;
pub mod packing;
pub mod random;
pub mod residual;
pub mod rope;
pub mod row_product;
pub mod storage;
pub mod weights_file;

pub use packing::{Packing, Segment};

#[cfg(test)]
mod tests;
