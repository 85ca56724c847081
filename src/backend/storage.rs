//! Reading and updating the float32 storage of CPU tensors in place.

use std::cell::Cell;
use std::ops::Deref;

use candle_core::{
    CpuStorage, DType, Device, InplaceOp1, Layout, Result, Shape, Storage, StorageRef, Tensor, bail,
};
use rayon::prelude::*;

use super::checks::{expect, grid_of_values};
use super::gpu::{self, Arg, Gpu};

/// A read lock on a contiguous float32 tensor, as a slice in row-major order.
pub struct View<'a> {
    storage: StorageRef<'a>,
    start: usize,
    len: usize,
}

impl Deref for View<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &*self.storage {
            Storage::Cpu(CpuStorage::F32(values)) => &values[self.start..self.start + self.len],
            // `view` has looked already
            _ => &[],
        }
    }
}

/// The values of a contiguous float32 CPU tensor. Errors on another layout, dtype or device.
pub fn view(tensor: &Tensor) -> Result<View<'_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(_)) = &*storage else {
        bail!("expected a float32 tensor on the CPU, got {:?}", tensor.dtype())
    };
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("expected a contiguous tensor, got strides {:?}", layout.stride())
    };
    Ok(View { storage, start, len: end - start })
}

/// The whole storage behind a float32 CPU tensor of any layout, with that layout.
pub fn strided(tensor: &Tensor) -> Result<(View<'_>, Layout)> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cpu(CpuStorage::F32(values)) = &*storage else {
        bail!("expected a float32 tensor on the CPU, got {:?}", tensor.dtype())
    };
    let len = values.len();
    let layout = layout.clone();
    Ok((View { storage, start: 0, len }, layout))
}

/// Runs `f` on the bytes of a contiguous float32 or bf16 tensor, wherever it lies.
pub fn with_bytes<R>(tensor: &Tensor, f: impl FnOnce(&[u8]) -> R) -> Result<R> {
    let here = tensor.to_device(&Device::Cpu)?;
    let (storage, layout) = here.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        bail!("expected a contiguous tensor, got strides {:?}", layout.stride())
    };
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(f(bytemuck::cast_slice(&values[start..end]))),
        Storage::Cpu(CpuStorage::BF16(values)) => {
            Ok(f(bytemuck::cast_slice(half::slice::HalfFloatSliceExt::reinterpret_cast(&values[start..end]))))
        }
        _ => bail!("expected float32 or bf16, got {:?}", tensor.dtype()),
    }
}

/// Whether every value of a float32 or bf16 tensor is finite.
pub fn is_finite(tensor: &Tensor) -> Result<bool> {
    let is_bf16 = tensor.dtype() == DType::BF16;
    with_bytes(tensor, |bytes| match is_bf16 {
        // The exponent of what is not finite is all ones.
        true => {
            bytes.par_chunks_exact(2).all(|bits| u16::from_le_bytes([bits[0], bits[1]]) & 0x7f80 != 0x7f80)
        }
        false => {
            bytemuck::cast_slice::<u8, f32>(bytes).par_iter().with_min_len(1 << 16).all(|v| v.is_finite())
        }
    })
}

struct Update<F>(Cell<Option<F>>);

impl<F: FnOnce(&mut [f32], &Layout) -> Result<()>> InplaceOp1 for Update<F> {
    fn name(&self) -> &'static str {
        "update"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> Result<()> {
        let CpuStorage::F32(values) = storage else { bail!("expected a float32 tensor") };
        match self.0.take() {
            Some(f) => f(values, layout),
            None => bail!("an update runs once"),
        }
    }
}

/// Runs `f` on the values of a contiguous float32 CPU tensor, in place. All tensors that share the
/// storage see the change.
pub fn update(tensor: &Tensor, f: impl FnOnce(&mut [f32]) -> Result<()>) -> Result<()> {
    update_strided(tensor, |values, layout| match layout.contiguous_offsets() {
        Some((start, end)) => f(&mut values[start..end]),
        None => bail!("expected a contiguous tensor, got strides {:?}", layout.stride()),
    })
}

/// Runs `f` on the whole storage behind a float32 CPU tensor and its layout, in place.
pub fn update_strided(tensor: &Tensor, f: impl FnOnce(&mut [f32], &Layout) -> Result<()>) -> Result<()> {
    tensor.inplace_op1(&Update(Cell::new(Some(f))))
}

/// A pointer that several threads write through, each to its own elements.
#[derive(Clone, Copy)]
pub(crate) struct Shared(*mut f32);

// SAFETY: whoever splits work over a `Shared` gives each task elements that no other task touches.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub fn new(values: &mut [f32]) -> Self {
        Shared(values.as_mut_ptr())
    }

    /// The address of element `index`.
    pub fn at(self, index: usize) -> *mut f32 {
        self.0.wrapping_add(index)
    }

    /// Elements `start..start + len`.
    ///
    /// # Safety
    /// They lie within the slice that `new` was given, which outlives `'a`, and no other task reads
    /// or writes them meanwhile.
    pub unsafe fn slice<'a>(self, start: usize, len: usize) -> &'a mut [f32] {
        // SAFETY: the caller's promise
        unsafe { std::slice::from_raw_parts_mut(self.at(start), len) }
    }
}

/// dst ← src, both contiguous and of the same number of elements. On a GPU one may be float32 and the
/// other bf16, and src may lie elsewhere.
pub fn copy_into(dst: &Tensor, src: &Tensor) -> Result<()> {
    if let Some(gpu) = Gpu::of(dst)? {
        return launch_copy(gpu, dst, src);
    }
    let src = view(src)?;
    update(dst, |dst| {
        if dst.len() != src.len() {
            bail!("{} elements into {}", src.len(), dst.len())
        }
        dst.copy_from_slice(&src);
        Ok(())
    })
}

fn launch_copy(gpu: Gpu, dst: &Tensor, src: &Tensor) -> Result<()> {
    expect(dst.dtype(), &[dst])?;
    expect(src.dtype(), &[src])?;
    let src = &src.to_device(dst.device())?;
    let n = dst.elem_count();
    if src.elem_count() != n {
        bail!("{} elements into {n}", src.elem_count())
    }
    let kernel = format!("copy_{}_{}", gpu::suffix(src)?, gpu::suffix(dst)?);
    gpu.launch(&kernel, grid_of_values(dst), &[dst.into(), src.into(), Arg::U64(n as u64)])
}

/// A new float32 tensor on the CPU whose elements are whatever the memory held: every caller in this
/// module writes all of them before anything reads one.
pub(super) fn unwritten(shape: impl Into<Shape>) -> Result<Tensor> {
    // SAFETY: any bits are a float32, and the callers overwrite all of them
    unsafe { Tensor::empty(shape.into(), DType::F32, &Device::Cpu) }
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::*;

    #[test]
    fn copies_where_kernels_run_round_once() {
        trial::each(|trial| {
            for (rows, columns) in [(1, 1), (3, 37), (9, 704)] {
                let src = trial.random(rows, columns);
                for dtype in [DType::F32, DType::BF16] {
                    let whole = gpu::unwritten((rows + 1, columns), dtype, &trial.device).unwrap();
                    let dst = whole.narrow(0, 1, rows).unwrap();
                    copy_into(&dst, &src.gpu).unwrap();
                    let want = src.cpu.to_dtype(dtype).unwrap().to_dtype(DType::F32).unwrap();
                    trial.within(&dst, &want, 0.0);
                }
            }
        });
    }
}
