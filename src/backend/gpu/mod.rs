//! Kernels and where they run. An operation of `backend` asks [`Gpu::of`] whether its tensors lie on a
//! GPU; if so it launches one of the kernels in `backend/kernels/*.cu`, which take the same arguments
//! in the same order wherever they run:
//!
//! | | |
//! |---|---|
//! | [`cuda`] | a CUDA device, in builds with the `cuda` feature |
//! | [`emulation`] | this machine's CPU, in tests: the same sources built by the C++ compiler |
//!
//! Tensors on a GPU are float32 or bf16. Kernels that are made for both are named `NAME_f32` and
//! `NAME_bf16`.

#[cfg(feature = "cuda")]
pub mod cuda;
#[cfg(test)]
pub mod emulation;
#[cfg(any(test, feature = "cuda"))]
mod folders;
pub mod launch;
pub mod memory;
pub mod open;
pub mod out_of_memory;
#[cfg(test)]
pub mod trial;

use candle_core::{DType, Device, Result, Shape, Tensor};

pub use launch::{Arg, Grid, row_stride, suffix};
pub use memory::Memory;
pub use out_of_memory::explain;

/// What runs the kernels for some tensors.
#[derive(Clone, Copy)]
pub enum Gpu {
    #[cfg(feature = "cuda")]
    Cuda(&'static cuda::Cuda),
    #[cfg(test)]
    Emulated(&'static emulation::Emulator),
}

impl Gpu {
    /// `None` for a tensor that the CPU's own implementation works on.
    pub fn of(tensor: &Tensor) -> Result<Option<Gpu>> {
        Self::on(tensor.device())
    }

    /// What runs the kernels for a device's tensors; `None` if the CPU's own implementations do.
    pub fn on(device: &Device) -> Result<Option<Gpu>> {
        match device {
            #[cfg(test)]
            Device::Cpu => Ok(emulation::current().map(Gpu::Emulated)),
            #[cfg(feature = "cuda")]
            Device::Cuda(device) => Ok(Some(Gpu::Cuda(cuda::Cuda::of(device)?))),
            _ => Ok(None),
        }
    }

    /// Runs `kernel` over a grid of blocks. Tensors may be any view; a kernel gets the address of a
    /// view's first element, and strides among its numbers. Errors if the kernel cannot be started.
    #[cfg_attr(not(any(test, feature = "cuda")), expect(unused_variables))]
    pub fn launch(self, kernel: &str, grid: Grid, arguments: &[Arg<'_>]) -> Result<()> {
        match self {
            #[cfg(feature = "cuda")]
            Gpu::Cuda(cuda) => cuda.launch(kernel, grid, arguments),
            #[cfg(test)]
            Gpu::Emulated(emulator) => emulator.launch(kernel, grid, arguments),
        }
    }

    /// Where the tensor's first element lies, for tables that kernels read; true as long as its storage lives.
    #[cfg_attr(not(any(test, feature = "cuda")), expect(unused_variables))]
    pub fn address(self, tensor: &Tensor) -> Result<u64> {
        match self {
            #[cfg(feature = "cuda")]
            Gpu::Cuda(cuda) => cuda.address(tensor),
            #[cfg(test)]
            Gpu::Emulated(_) => emulation::address(tensor),
        }
    }

    /// `dst ← (accumulate ? dst : 0) + scale · lhs × rhs`: `[m, n]`, `[m, k]`, `[k, n]`, summed in float32.
    /// Operands have one dtype, `dst` that or float32; each is rows of adjacent elements or the transpose
    /// of such.
    #[cfg_attr(not(any(test, feature = "cuda")), expect(unused_variables))]
    pub fn matmul(
        self,
        dst: &Tensor,
        lhs: &Tensor,
        rhs: &Tensor,
        scale: f32,
        accumulate: bool,
    ) -> Result<()> {
        match self {
            #[cfg(feature = "cuda")]
            Gpu::Cuda(cuda) => cuda.matmul(dst, lhs, rhs, scale, accumulate),
            #[cfg(test)]
            Gpu::Emulated(_) => emulation::matmul(dst, lhs, rhs, scale, accumulate),
        }
    }

    /// The device's memory; `None` in the emulation, which uses the program's.
    pub fn memory(self) -> Result<Option<Memory>> {
        match self {
            #[cfg(feature = "cuda")]
            Gpu::Cuda(cuda) => cuda.memory().map(Some),
            #[cfg(test)]
            Gpu::Emulated(_) => Ok(None),
        }
    }

    /// Lets [`Memory::peak`] begin anew, at what is used now.
    pub fn reset_peak(self) -> Result<()> {
        match self {
            #[cfg(feature = "cuda")]
            Gpu::Cuda(cuda) => cuda.reset_peak(),
            #[cfg(test)]
            Gpu::Emulated(_) => Ok(()),
        }
    }
}

/// A new tensor whose elements are whatever the memory held; in tests, NaNs.
pub fn unwritten(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
    let shape = shape.into();
    // a device launches nothing over no elements
    #[cfg(test)]
    if shape.elem_count() > 0 {
        return super::counting_allocator::only_what_stays(|| {
            Tensor::full(f32::NAN, shape, device)?.to_dtype(dtype)
        });
    }
    // SAFETY: any bits are a number, and who asks writes all of them before anything reads one
    unsafe { Tensor::empty(shape, dtype, device) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensors_without_elements_and_grids_without_blocks_are_nothing_to_do() {
        trial::each(|trial| {
            for shape in [(0, 5), (3, 0), (0, 0)] {
                let none = unwritten(shape, trial.dtype, &trial.device).unwrap();
                assert_eq!((none.dims2().unwrap(), none.dtype()), (shape, trial.dtype));
                let kernel = format!("add_{}", suffix(&none).unwrap());
                let arguments = [Arg::from(&none), (&none).into(), (&none).into(), Arg::U64(0)];
                let gpu = Gpu::of(&none).unwrap().unwrap();
                gpu.launch(&kernel, Grid::of(0, 32), &arguments).unwrap();
            }
            let some = unwritten((2, 3), trial.dtype, &trial.device).unwrap();
            let values = some.to_device(&Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
            assert!(values.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().all(|x| x.is_nan()));
        });
    }
}
