//! A CUDA device that the program has taken hold of.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use anyhow::Context as _;
use candle_core::backend::BackendDevice;
use candle_core::cuda_backend::kernels::{CAST, FILL};
use candle_core::cuda_backend::{CudaDevice, DeviceId};
use candle_core::{Device, Result, bail};
use cudarc::driver::{CudaContext, CudaStream, sys};

use super::matmul::Products;
use super::modules::Kernels;
use super::pool::Pool;

/// A device, and what launches need. One a device and program, never dropped.
pub struct Cuda {
    device: CudaDevice,
    pub(super) context: Arc<CudaContext>,
    /// Everything that reads or writes the device's memory runs on this one stream, in order.
    pub(super) stream: Arc<CudaStream>,
    pub(super) kernels: Kernels,
    pub(super) products: Products,
    pub(super) pool: Pool,
}

static OPEN: RwLock<Vec<(usize, DeviceId, &'static Cuda)>> = RwLock::new(Vec::new());

/// GPU `ordinal`; the same device each time. Errors if the driver refuses it; see also [`super::check`].
pub fn open(ordinal: usize) -> anyhow::Result<Device> {
    // two threads that open a device at a time get the same
    static OPENING: Mutex<()> = Mutex::new(());
    let _opening = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cuda) = find(|at, _| at == ordinal) {
        return Ok(Device::Cuda(cuda.device.clone()));
    }
    let cuda = Cuda::new(ordinal).with_context(|| format!("`cuda:{ordinal}` cannot be opened"))?;
    let cuda: &'static Cuda = Box::leak(Box::new(cuda));
    OPEN.write().unwrap_or_else(PoisonError::into_inner).push((ordinal, cuda.device.id(), cuda));
    Ok(Device::Cuda(cuda.device.clone()))
}

fn find(wanted: impl Fn(usize, DeviceId) -> bool) -> Option<&'static Cuda> {
    let open = OPEN.read().unwrap_or_else(PoisonError::into_inner);
    open.iter().find(|(ordinal, id, _)| wanted(*ordinal, *id)).map(|(_, _, cuda)| *cuda)
}

impl Cuda {
    /// Errors for a device that did not come from [`open`].
    pub fn of(device: &CudaDevice) -> Result<&'static Cuda> {
        let id = device.id();
        match find(|_, other| other == id) {
            Some(cuda) => Ok(cuda),
            None => bail!("{:?} was not opened by `gpu::open`", device.location()),
        }
    }

    fn new(ordinal: usize) -> Result<Self> {
        // With a stream of its own: candle's default is the stream of the thread that calls, and our
        // threads share tensors.
        let device = CudaDevice::new_with_stream(ordinal)?;
        // SAFETY: events order the streams that use a tensor; there is one stream, which is in order
        // itself: candle's calls, ours and cuBLAS's go to it, and memory is taken and freed on it
        unsafe { device.disable_event_tracking() };
        let stream = device.cuda_stream();
        let context = stream.context().clone();
        context.bind_to_thread().map_err(candle_core::Error::wrap)?;
        let pool = Pool::new(&context)?;
        let kernels = Kernels::load()?;
        // what of candle's kernels every run uses, for the same reason
        device.get_or_load_func("const_set_f32", &FILL)?;
        device.get_or_load_func("cast_f32_bf16", &CAST)?;
        let products = Products::new(&stream)?;
        Ok(Cuda { device, context, stream, kernels, products, pool })
    }

    /// Makes this device the calling thread's. Errors also with what went wrong earlier where nothing could
    /// be returned, as when memory was freed.
    pub(super) fn bind(&self) -> Result<sys::CUstream> {
        self.context.bind_to_thread().map_err(candle_core::Error::wrap)?;
        Ok(self.stream.cu_stream())
    }
}
