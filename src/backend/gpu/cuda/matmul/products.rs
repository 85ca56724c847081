//! What products of one device need, and those that are prepared.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Error, Result};
use cudarc::cublaslt::result::create_handle;
use cudarc::driver::{CudaSlice, CudaStream};

use super::handle::{Handle, WORKSPACE, with_room};
use super::prepared::Prepared;
use super::problem::MatmulProblem;

/// Products that are remembered. Numbers of tokens differ from step to step, so there is no end to them.
const REMEMBERED: usize = 4096;

/// What products of one device need.
pub struct Products {
    pub(super) handle: Handle,
    /// One suffices: products run one after the other, on the one stream. A product may be several kernels
    /// that hand sums on here, so it is locked until all of them are in the stream: between them nothing of
    /// another thread's may come.
    pub(super) workspace: Mutex<CudaSlice<u8>>,
    prepared: Mutex<HashMap<MatmulProblem, Arc<Prepared>>>,
}

impl Products {
    pub fn new(stream: &Arc<CudaStream>) -> Result<Self> {
        let handle =
            create_handle().map_err(|error| Error::msg(format!("cuBLASLt does not start: {error}")))?;
        // SAFETY: algorithms write what they read there
        let workspace = unsafe { stream.alloc::<u8>(WORKSPACE) }.map_err(Error::wrap)?;
        Ok(Products { handle: Handle(handle), workspace: Mutex::new(workspace), prepared: Mutex::default() })
    }

    pub(super) fn prepare(&self, problem: MatmulProblem) -> Result<Arc<Prepared>> {
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
