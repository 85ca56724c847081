//! Tensor operations behind one function each, on the CPU (float32) or on a GPU (float32 or bf16, see
//! [`gpu`]). Storage, device and dtype are candle's; each operation is checked against candle's tape or
//! its own CPU implementation in tests.

pub mod adamw;
pub mod attention;
mod checks;
mod column_sums;
pub mod compute;
#[cfg(test)]
pub mod counting_allocator;
pub mod dropout;
pub mod embedding;
pub mod gated_mlp;
pub mod global_norm;
pub mod gpu;
pub mod header;
pub mod log_prob;
pub mod matmul;
pub mod memory;
pub mod new_file;
pub mod norm;
pub mod packing;
pub mod profile;
pub mod residual;
pub mod rope;
pub mod row_product;
pub mod sample;
pub mod scalar_head;
pub mod scale;
mod segment;
pub mod simd;
pub mod storage;
pub mod trained_weights;
pub mod weights_file;

pub use compute::Compute;
pub use packing::Packing;
pub use segment::Segment;

#[cfg(test)]
mod tests;
