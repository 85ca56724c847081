//! Matrix products by cuBLASLt, summed in float32 (float32 operands without TF32).
//!
//! | | |
//! |---|---|
//! | [`handle`], [`products`] | cuBLASLt, and what products of a device need |
//! | [`operand`] | how a matrix lies in memory |
//! | [`problem`] | a product in the terms of cuBLASLt: columns first |
//! | [`prepared`] | its descriptors and the algorithm chosen for it |

mod handle;
mod operand;
mod prepared;
mod problem;
mod products;
#[cfg(test)]
mod tests;

use std::ffi::c_void;
use std::sync::PoisonError;

use candle_core::{Error, Result, Tensor};
use cudarc::cublaslt::result::matmul;
use cudarc::driver::{DevicePtr, sys};

use super::device::Cuda;
use handle::{WORKSPACE, with_room};
use problem::MatmulProblem;

pub use products::Products;

impl Cuda {
    /// `dst ← (accumulate ? dst : 0) + scale · lhs × rhs`; see [`super::super::Gpu::matmul`].
    pub fn matmul(
        &self,
        dst: &Tensor,
        lhs: &Tensor,
        rhs: &Tensor,
        scale: f32,
        accumulate: bool,
    ) -> Result<()> {
        let addresses = [self.address(dst)?, self.address(lhs)?, self.address(rhs)?];
        let (problem, [d, l, r]) = MatmulProblem::of([dst, lhs, rhs], addresses)?;
        let stream = self.bind()?;
        if problem.is_empty() {
            return if accumulate { Ok(()) } else { clear(&problem, d, stream) };
        }
        let prepared = self.products.prepare(problem)?;
        let beta = if accumulate { 1.0f32 } else { 0.0 };
        let slice = self.products.workspace.lock().unwrap_or_else(PoisonError::into_inner);
        let (workspace, _) = slice.device_ptr(&self.stream);
        // SAFETY: the layouts are those of the tensors, which live until the product is in the stream;
        // alpha and beta are read during the call
        let status = with_room(|| unsafe {
            matmul(
                self.products.handle.0,
                prepared.product(),
                (&raw const scale).cast(),
                (&raw const beta).cast(),
                r as *const c_void,
                prepared.rhs(),
                l as *const c_void,
                prepared.lhs(),
                d as *const c_void,
                prepared.dst(),
                d as *mut c_void,
                prepared.dst(),
                prepared.algorithm(),
                workspace as *mut c_void,
                WORKSPACE,
                stream.cast(),
            )
        });
        status.map_err(|error| Error::msg(format!("{problem}: {error}")))
    }
}

/// A sum of no terms.
fn clear(problem: &MatmulProblem, dst: u64, stream: sys::CUstream) -> Result<()> {
    let (pitch, width, height) = problem.rows_of_bytes();
    if width == 0 || height == 0 {
        return Ok(());
    }
    // SAFETY: the rows are those of `dst`
    let status = unsafe { sys::cuMemsetD2D8Async(dst, pitch, 0, width, height, stream) };
    status.result().map_err(|error| Error::msg(format!("{problem}: {error}")))
}
