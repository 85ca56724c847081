//! How kernels are tested: an operation on tensors where kernels run, against the same operation on the
//! CPU, in float32 and in bf16, with outputs poisoned (see [`super::unwritten`]). Emulated kernels run in
//! both orders and must give the same bits; with the `cuda` feature and a device they run there, twice.

use std::cell::{Cell, RefCell};

use candle_core::{DType, Device, Tensor};

use super::emulation::{self, Order};
use crate::random::{Purpose, Stream};

/// Where kernels run in a trial, and the dtype of its tensors.
pub struct Trial {
    pub dtype: DType,
    pub device: Device,
    emulated: bool,
    drawn: Cell<u64>,
    /// Bits of what was compared, in order.
    seen: RefCell<Vec<Vec<u8>>>,
}

/// Equal values on the CPU, in float32, and where kernels run.
pub struct Twin {
    pub cpu: Tensor,
    pub gpu: Tensor,
}

/// Runs `f` for both dtypes wherever kernels can run here.
pub fn each(f: impl Fn(&Trial)) {
    for dtype in [DType::F32, DType::BF16] {
        each_of(dtype, &f);
    }
}

/// Runs `f` for one dtype wherever kernels can run here.
pub fn each_of(dtype: DType, f: impl Fn(&Trial)) {
    let run = |device: Device, emulated| {
        let trial = Trial { dtype, device, emulated, drawn: Cell::new(0), seen: RefCell::new(Vec::new()) };
        f(&trial);
        trial.seen.into_inner()
    };
    let orders = [Order::Forward, Order::Reverse];
    let runs = orders.map(|order| emulation::with(order, || run(Device::Cpu, true)));
    assert!(runs[0] == runs[1], "{dtype:?}: a result depends on the order of threads");
    #[cfg(feature = "cuda")]
    if let Some(device) = super::cuda::for_tests() {
        assert!(run(device.clone(), false) == run(device, false), "{dtype:?}: two runs differ");
    }
}

impl Trial {
    /// Normal values; the same in every run.
    pub fn random(&self, rows: usize, columns: usize) -> Twin {
        let stream = Stream::new(7, Purpose::Weights).key(self.drawn.replace(self.drawn.get() + 1));
        let values: Vec<f32> = (0..(rows * columns) as u64).map(|i| stream.normal(i) as f32).collect();
        self.twin(&Tensor::from_vec(values, (rows, columns), &Device::Cpu).unwrap())
    }

    /// A float32 CPU tensor and its twin; both hold what the trial's dtype can hold.
    pub fn twin(&self, tensor: &Tensor) -> Twin {
        let rounded = tensor.to_dtype(self.dtype).unwrap();
        Twin { cpu: rounded.to_dtype(DType::F32).unwrap(), gpu: self.put(&rounded) }
    }

    /// A CPU tensor where kernels run, as it is. A copy: nothing is shared.
    pub fn put(&self, tensor: &Tensor) -> Tensor {
        let copy = tensor.copy().unwrap();
        if self.emulated { copy } else { copy.to_device(&self.device).unwrap() }
    }

    /// What the CPU's own implementation gives.
    pub fn cpu<R>(&self, f: impl FnOnce() -> R) -> R {
        emulation::without(f)
    }

    /// Asserts that `got` is `want` up to 1e-5 of its norm in float32 and 1e-2 in bf16, and keeps its bits.
    #[track_caller]
    pub fn close(&self, got: &Tensor, want: &Tensor) {
        self.within(got, want, if self.dtype == DType::F32 { 1e-5 } else { 1e-2 });
    }

    /// As [`Trial::close`], with another tolerance.
    #[track_caller]
    pub fn within(&self, got: &Tensor, want: &Tensor, tolerance: f32) {
        let got = got.to_device(&Device::Cpu).unwrap();
        assert_eq!(got.dims(), want.dims());
        let values = |t: &Tensor| -> Vec<f32> {
            t.to_dtype(DType::F32).unwrap().contiguous().unwrap().flatten_all().unwrap().to_vec1().unwrap()
        };
        let (got, want) = (values(&got), values(want));
        let norm = want.iter().map(|w| f64::from(*w).powi(2)).sum::<f64>().sqrt();
        let off = got.iter().zip(&want).map(|(g, w)| f64::from(g - w).powi(2)).sum::<f64>().sqrt();
        let relative = off / norm.max(1e-30);
        // not `>`: a NaN is to fail
        assert!(relative <= f64::from(tolerance), "{:?}: off by {relative:e} of the norm", self.dtype);
        self.seen.borrow_mut().push(bytemuck::cast_slice(&got).to_vec());
    }
}
