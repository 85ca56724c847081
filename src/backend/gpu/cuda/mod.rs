//! CUDA devices.
//!
//! | | |
//! |---|---|
//! | [`check`] | whether there is a GPU that we can use, and what is missing |
//! | [`device`] | a device taken hold of: context, stream, memory pool |
//! | [`libraries`] | the driver and cuBLAS, opened at run time |
//! | [`wrapped`] | what happens around some of the driver's functions |
//! | [`launch`], [`modules`] | kernels, from the images that `build.rs` leaves |
//! | [`address`] | where a tensor lies |
//! | [`matmul`] | matrix products, by cuBLASLt |
//! | [`pool`], [`memory`] | the pool that tensors come from, and how much of it is used |

mod address;
pub mod check;
pub mod device;
mod launch;
mod libraries;
mod matmul;
mod memory;
mod modules;
mod pool;
mod wrapped;

pub use check::check;
#[cfg(test)]
pub use check::for_tests;
pub use device::{Cuda, open};
