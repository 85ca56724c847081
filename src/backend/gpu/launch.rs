//! What a launch needs: the grid, and arguments as the driver takes them.

#[cfg(any(test, feature = "cuda"))]
use std::ffi::c_void;

use candle_core::{DType, Result, Tensor, bail};

/// Blocks, threads of a block, and bytes of dynamic shared memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    pub blocks: [u32; 3],
    pub threads: u32,
    pub shared: u32,
}

impl Grid {
    /// `blocks` blocks of `threads`.
    pub fn of(blocks: usize, threads: u32) -> Self {
        Grid { blocks: [blocks as u32, 1, 1], threads, shared: 0 }
    }

    /// Enough threads for `n` elements, up to 4096 blocks of 256, which go on with what is left.
    pub fn over(n: usize) -> Self {
        Self::of(n.div_ceil(256).clamp(1, 4096), 256)
    }
}

/// An argument of a kernel.
#[derive(Clone, Copy)]
pub enum Arg<'a> {
    /// Read or written: the address of the tensor's first element.
    Tensor(&'a Tensor),
    /// No tensor.
    Null,
    U32(u32),
    U64(u64),
    F32(f32),
}

impl<'a> From<&'a Tensor> for Arg<'a> {
    fn from(tensor: &'a Tensor) -> Self {
        Arg::Tensor(tensor)
    }
}

impl<'a> From<Option<&'a Tensor>> for Arg<'a> {
    fn from(tensor: Option<&'a Tensor>) -> Self {
        tensor.map_or(Arg::Null, Arg::Tensor)
    }
}

impl From<usize> for Arg<'_> {
    /// A count or a stride, `unsigned` in the kernel; all that we have fit it.
    fn from(n: usize) -> Self {
        Arg::U32(n as u32)
    }
}

impl From<f32> for Arg<'_> {
    fn from(x: f32) -> Self {
        Arg::F32(x)
    }
}

/// Arguments as addresses of their values, as `cuLaunchKernel` takes them.
#[cfg(any(test, feature = "cuda"))]
pub(super) struct Packed {
    values: Vec<u64>,
    sizes: Vec<usize>,
}

#[cfg(any(test, feature = "cuda"))]
impl Packed {
    /// `address`: of a tensor's first element where the kernel runs.
    pub fn new(arguments: &[Arg<'_>], address: impl Fn(&Tensor) -> Result<u64>) -> Result<Self> {
        let mut packed = Packed { values: Vec::new(), sizes: Vec::new() };
        for argument in arguments {
            let (value, size) = match *argument {
                Arg::Tensor(tensor) => (address(tensor)?, 8),
                Arg::Null => (0, 8),
                Arg::U32(n) => (u64::from(n), 4),
                Arg::U64(n) => (n, 8),
                Arg::F32(x) => (u64::from(x.to_bits()), 4),
            };
            packed.values.push(value);
            packed.sizes.push(size);
        }
        Ok(packed)
    }

    /// Bytes of each argument.
    pub fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    /// An address each; valid as long as `self` is.
    pub fn addresses(&mut self) -> Vec<*mut c_void> {
        self.values.iter_mut().map(|value| std::ptr::from_mut(value).cast()).collect()
    }
}

/// What the names of kernels for a tensor's dtype end with. Errors if it is neither float32 nor bf16.
pub fn suffix(tensor: &Tensor) -> Result<&'static str> {
    match tensor.dtype() {
        DType::F32 => Ok("f32"),
        DType::BF16 => Ok("bf16"),
        other => bail!("kernels are for float32 and bf16, not {other:?}"),
    }
}

/// Elements from one row of a tensor `[rows, columns]` to the next. Errors unless a row's elements are
/// next to each other.
pub fn row_stride(tensor: &Tensor) -> Result<usize> {
    match tensor.stride() {
        &[row, 1] => Ok(row),
        strides => bail!("a kernel reads rows of adjacent elements, got strides {strides:?}"),
    }
}
