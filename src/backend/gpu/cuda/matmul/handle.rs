//! cuBLASLt, and calls of it.

use cudarc::cublaslt::result::CublasError;
use cudarc::cublaslt::sys::{cublasLtHandle_t, cublasStatus_t as Status};

use super::super::super::out_of_memory::once_more;
use super::super::pool;

/// Bytes that an algorithm may use beside its operands: what NVIDIA advises for Hopper.
pub const WORKSPACE: usize = 32 << 20;

/// cuBLASLt itself; open as long as the program runs.
#[derive(Clone, Copy)]
pub struct Handle(pub cublasLtHandle_t);

// SAFETY: cuBLASLt's handle may be used from any number of threads
unsafe impl Send for Handle {}
// SAFETY: as above
unsafe impl Sync for Handle {}

/// What a call of cuBLASLt gives.
pub type CublasResult<T> = std::result::Result<T, CublasError>;

/// Calls cuBLASLt, which loads its kernels when they are first used; if that fails, as where the pool holds
/// all memory, once more after [`pool::trim`].
pub fn with_room<T>(call: impl FnMut() -> CublasResult<T>) -> CublasResult<T> {
    let short = |result: &CublasResult<T>| {
        let status = result.as_ref().err().map(|error| error.0);
        matches!(status, Some(Status::CUBLAS_STATUS_ALLOC_FAILED | Status::CUBLAS_STATUS_EXECUTION_FAILED))
    };
    once_more(call, short, || pool::trim().is_ok())
}
