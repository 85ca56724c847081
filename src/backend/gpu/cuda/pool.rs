//! The pool that a device's memory comes from.

use std::ffi::c_void;

use candle_core::{Error, Result};
use cudarc::driver::result::{self, DriverError, ctx, device, mem_pool};
use cudarc::driver::{CudaContext, sys};
use sys::CUmemPool_attribute_enum as Attribute;

use super::super::memory::Memory;

/// What a call of the driver gives.
pub type DriverResult<T> = std::result::Result<T, DriverError>;

/// The pool that candle allocates from: the device's current one, which lives as long as the device.
pub struct Pool(sys::CUmemoryPool);

// SAFETY: the driver's functions on pools may be called from any thread
unsafe impl Send for Pool {}
// SAFETY: as above; the handle itself is never changed
unsafe impl Sync for Pool {}

impl Pool {
    /// A pool that keeps what is freed: a step frees and takes the same buffers over and over, and memory
    /// that went back to the driver at a synchronisation would have to be mapped again. What needs memory
    /// from outside the pool then relies on [`trim`].
    pub fn new(context: &CudaContext) -> Result<Self> {
        let kept = || -> DriverResult<Pool> {
            let pool = Pool::of(context.cu_device())?;
            pool.set(Attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, u64::MAX)?;
            Ok(pool)
        };
        kept().map_err(|error| Error::msg(format!("the device's memory pool: {error}")))
    }

    fn of(device: sys::CUdevice) -> DriverResult<Self> {
        // SAFETY: the device is one that the driver gave
        unsafe { device::get_mem_pool(device) }.map(Pool)
    }

    fn get(&self, which: Attribute) -> DriverResult<u64> {
        let mut value = 0u64;
        // SAFETY: these attributes are 64-bit numbers
        unsafe { mem_pool::get_attribute(self.0, which, (&raw mut value).cast::<c_void>()) }?;
        Ok(value)
    }

    fn set(&self, which: Attribute, mut value: u64) -> DriverResult<()> {
        // SAFETY: these attributes are 64-bit numbers
        unsafe { mem_pool::set_attribute(self.0, which, (&raw mut value).cast::<c_void>()) }
    }

    /// Lets the peak begin anew, at what is used now.
    pub fn reset_peak(&self) -> DriverResult<()> {
        self.set(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH, 0)
    }

    /// Of the device whose context is bound, which the pool is of.
    pub fn memory(&self) -> DriverResult<Memory> {
        let (free, total) = result::mem_get_info()?;
        Ok(Memory {
            total: total as u64,
            free: free as u64,
            reserved: self.get(Attribute::CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT)?,
            used: self.get(Attribute::CU_MEMPOOL_ATTR_USED_MEM_CURRENT)?,
            peak: self.get(Attribute::CU_MEMPOOL_ATTR_USED_MEM_HIGH)?,
        })
    }
}

/// The device whose context is bound.
fn bound() -> DriverResult<sys::CUdevice> {
    let mut device = 0;
    // SAFETY: writes the one number it is given
    unsafe { sys::cuCtxGetDevice(&mut device) }.result()?;
    Ok(device)
}

/// Gives what the pool of the bound device holds and no tensor uses back to the driver, once all that was
/// started has ended: for what needs memory from outside the pool, and for a tensor that fits nowhere between
/// others.
pub fn trim() -> DriverResult<()> {
    let pool = Pool::of(bound()?)?;
    ctx::synchronize()?;
    // SAFETY: the pool is the device's
    unsafe { mem_pool::trim_to(pool.0, 0) }
}

/// The bound device and its memory.
pub fn current() -> DriverResult<(usize, Memory)> {
    let device = bound()?;
    Ok((device as usize, Pool::of(device)?.memory()?))
}

#[cfg(test)]
mod tests {
    use super::super::super::Gpu;
    use candle_core::{DType, Device, Tensor};

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

    #[test]
    fn what_the_pool_does_not_use_goes_back_when_it_is_needed() {
        let Some(device) = super::super::for_tests() else { return };
        let Some(Gpu::Cuda(cuda)) = Gpu::on(&device).unwrap() else { panic!("a CUDA device") };
        let kept = Tensor::arange(0f32, 1000.0, &device).unwrap();
        drop(Tensor::zeros(64 << 20, DType::F32, &device).unwrap());
        device.synchronize().unwrap();
        let before = cuda.memory().unwrap();
        super::trim().unwrap();
        let after = cuda.memory().unwrap();
        assert!(after.reserved + (128 << 20) <= before.reserved, "{before:?} {after:?}");
        let values = kept.to_device(&Device::Cpu).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values[999], 999.0);
    }
}
