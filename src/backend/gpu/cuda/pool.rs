//! The pool that a device's memory comes from.

use std::ffi::c_void;

use candle_core::{Error, Result};
use cudarc::driver::result::{device, mem_pool};
use cudarc::driver::{CudaContext, sys};
use sys::CUmemPool_attribute_enum as Attribute;

use super::super::memory::Memory;
use super::device::Cuda;

/// The pool that candle allocates from: the device's current one, which lives as long as the device.
pub struct Pool(sys::CUmemoryPool);

// SAFETY: the driver's functions on pools may be called from any thread
unsafe impl Send for Pool {}
// SAFETY: as above; the handle itself is never changed
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool that keeps what is freed: a step frees and takes the same buffers over and over, and memory
    /// that went back to the driver at a synchronisation would have to be mapped again.
    pub fn new(context: &CudaContext) -> Result<Self> {
        // SAFETY: the device is the context's
        let pool = unsafe { device::get_mem_pool(context.cu_device()) };
        let pool = Pool(pool.map_err(|error| Error::msg(format!("the device's memory pool: {error}")))?);
        pool.set(Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)?;
        Ok(pool)
    }

    fn get(&self, which: Attribute) -> Result<u64> {
        let mut value = 0u64;
        // SAFETY: these attributes are 64-bit numbers
        let status = unsafe { mem_pool::get_attribute(self.0, which, (&raw mut value).cast::<c_void>()) };
        status.map_err(|error| Error::msg(format!("the memory pool's {which:?}: {error}")))?;
        Ok(value)
    }

    fn set(&self, which: Attribute, mut value: u64) -> Result<()> {
        // SAFETY: these attributes are 64-bit numbers
        let status = unsafe { mem_pool::set_attribute(self.0, which, (&raw mut value).cast::<c_void>()) };
        status.map_err(|error| Error::msg(format!("the memory pool's {which:?}: {error}")))
    }
}

impl Cuda {
    pub fn memory(&self) -> Result<Memory> {
        self.bind()?;
        let (free, total) = self
            .context
            .mem_get_info()
            .map_err(|error| Error::msg(format!("the device's memory: {error}")))?;
        Ok(Memory {
            total: total as u64,
            free: free as u64,
            reserved: self.pool.get(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?,
            used: self.pool.get(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
            peak: self.pool.get(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
        })
    }

    /// Lets the peak begin anew, at what is used now.
    pub fn reset_peak(&self) -> Result<()> {
        self.bind()?;
        self.pool.set(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Gpu;
    use candle_core::{DType, Tensor};

    #[test]
    fn the_peak_counts_what_was_freed() {
        let Some(device) = super::super::for_tests() else { return };
        let Some(Gpu::Cuda(cuda)) = Gpu::on(&device).unwrap() else { panic!("a CUDA device") };
        let large = Tensor::zeros(64 << 20, DType::F32, &device).unwrap();
        device.synchronize().unwrap();
        assert!(cuda.memory().unwrap().used >= 256 << 20);
        drop(large);
        device.synchronize().unwrap();
        let memory = cuda.memory().unwrap();
        assert!(memory.peak >= 256 << 20 && memory.reserved >= 256 << 20 && memory.total > memory.free);
    }
}
