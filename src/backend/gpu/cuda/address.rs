//! Where a tensor lies in the device's memory.

use candle_core::cuda_backend::CudaDType;
use candle_core::{CudaStorage, DType, Result, Storage, Tensor, bail};
use cudarc::driver::DevicePtr;
use half::bf16;

use super::device::Cuda;

impl Cuda {
    /// The address of the tensor's first element, to be read or written on this device's stream while the
    /// tensor lives: a tensor that is dropped gives its memory back on the same stream, after what uses it.
    pub fn address(&self, tensor: &Tensor) -> Result<u64> {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            bail!("a kernel on a GPU got a tensor {:?} on {:?}", tensor.shape(), tensor.device().location())
        };
        if storage.device.cuda_stream() != self.stream {
            bail!("a kernel got a tensor {:?} of another GPU", tensor.shape())
        }
        let (start, bytes) = match tensor.dtype() {
            DType::F32 => (self.start::<f32>(storage)?, 4),
            DType::BF16 => (self.start::<bf16>(storage)?, 2),
            DType::U32 => (self.start::<u32>(storage)?, 4),
            DType::I64 => (self.start::<i64>(storage)?, 8),
            other => bail!("kernels take float32, bf16, u32 and i64, not {other:?}"),
        };
        Ok(start + (layout.start_offset() * bytes) as u64)
    }

    fn start<T: CudaDType>(&self, storage: &CudaStorage) -> Result<u64> {
        Ok(storage.as_cuda_slice::<T>()?.device_ptr(&self.stream).0)
    }
}
