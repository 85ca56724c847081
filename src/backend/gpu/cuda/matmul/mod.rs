//! Matrix products by cuBLASLt, summed in float32 (float32 operands without TF32).
//!
//! | | |
//! |---|---|
//! | [`operand`] | how a matrix lies in memory |
//! | [`problem`] | a product as cuBLASLt is told it: columns first |
//! | [`prepared`] | its descriptors and the algorithm chosen for it |

mod operand;
mod prepared;
mod problem;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::ffi::c_void;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Error, Result, Tensor};
use cudarc::cublaslt::result::{CublasError, create_handle, matmul};
use cudarc::cublaslt::sys::{cublasLtHandle_t, cublasStatus_t as Status};
use cudarc::driver::{CudaSlice, CudaStream, DevicePtr, sys};

use super::super::out_of_memory::once_more;
use super::device::Cuda;
use super::pool;
use prepared::Prepared;
use problem::Problem;

/// Bytes that an algorithm may use beside its operands: what NVIDIA advises for Hopper.
const WORKSPACE: usize = 32 << 20;

/// Products that are remembered. Numbers of tokens differ from step to step, so there is no end to them.
const REMEMBERED: usize = 4096;

/// What products of one device need.
pub struct Products {
    handle: Handle,
    /// One suffices: products run one after the other, on the one stream.
    workspace: CudaSlice<u8>,
    prepared: Mutex<HashMap<Problem, Arc<Prepared>>>,
}

/// cuBLASLt itself; open as long as the program runs.
#[derive(Clone, Copy)]
struct Handle(cublasLtHandle_t);

// SAFETY: cuBLASLt's handle may be used from any number of threads
unsafe impl Send for Handle {}
// SAFETY: as above
unsafe impl Sync for Handle {}

impl Products {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let handle =
            create_handle().map_err(|error| Error::msg(format!("cuBLASLt does not start: {error}")))?;
        // SAFETY: algorithms write what they read there
        let workspace = unsafe { stream.alloc::<u8>(WORKSPACE) }.map_err(Error::wrap)?;
        Ok(Products { handle: Handle(handle), workspace, prepared: Mutex::default() })
    }

    fn prepare(&self, problem: Problem) -> Result<Arc<Prepared>> {
        let mut all = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prepared) = all.get(&problem) {
            return Ok(prepared.clone());
        }
        let prepared = with_room(|| Prepared::new(self.handle, &problem))
            .map_err(|error| Error::msg(format!("{problem}: cuBLASLt has no way to compute it: {error}")))?;
        if all.len() >= REMEMBERED {
            all.clear();
        }
        let prepared = Arc::new(prepared);
        all.insert(problem, prepared.clone());
        Ok(prepared)
    }
}

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
        let (problem, [d, l, r]) = Problem::of([dst, lhs, rhs], addresses)?;
        let stream = self.bind()?;
        if problem.is_empty() {
            return if accumulate { Ok(()) } else { clear(&problem, d, stream) };
        }
        let prepared = self.products.prepare(problem)?;
        let beta = if accumulate { 1.0f32 } else { 0.0 };
        let (workspace, _) = self.products.workspace.device_ptr(&self.stream);
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

/// What a call of cuBLASLt gives.
type Called<T> = std::result::Result<T, CublasError>;

/// Calls cuBLASLt, which loads its kernels when they are first used; if that fails, as where the pool holds
/// all memory, once more after [`pool::trim`].
fn with_room<T>(call: impl FnMut() -> Called<T>) -> Called<T> {
    let short = |result: &Called<T>| {
        let status = result.as_ref().err().map(|error| error.0);
        matches!(status, Some(Status::CUBLAS_STATUS_ALLOC_FAILED | Status::CUBLAS_STATUS_EXECUTION_FAILED))
    };
    once_more(call, short, || pool::trim().is_ok())
}

/// A sum of no terms.
fn clear(problem: &Problem, dst: u64, stream: sys::CUstream) -> Result<()> {
    let (pitch, width, height) = problem.rows_of_bytes();
    if width == 0 || height == 0 {
        return Ok(());
    }
    // SAFETY: the rows are those of `dst`
    let status = unsafe { sys::cuMemsetD2D8Async(dst, pitch, 0, width, height, stream) };
    status.result().map_err(|error| Error::msg(format!("{problem}: {error}")))
}
