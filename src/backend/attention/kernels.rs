//! The two sets of attention kernels, and what their launches need to know.

use candle_core::{DType, Result, Tensor, bail};

use super::super::gpu::suffix;
use super::Shape;

/// A set of kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KernelSet {
    /// CUDA cores, for a head_dim up to this one.
    General(usize),
    /// Tensor cores, for bf16 and this head_dim.
    TensorCores(usize),
}

impl KernelSet {
    /// The fastest that can read `tensors`. Errors if there are none for this shape, or if the tensors are
    /// not of one dtype.
    pub fn of(shape: Shape, tensors: &[&Tensor]) -> Result<Self> {
        let dtypes: Vec<DType> = tensors.iter().map(|tensor| tensor.dtype()).collect();
        if dtypes.iter().any(|dtype| *dtype != dtypes[0]) {
            bail!("attention over tensors of dtypes {dtypes:?}")
        }
        if matches!(shape.head_dim, 64 | 128) && dtypes[0] == DType::BF16 && aligned(tensors) {
            return Ok(KernelSet::TensorCores(shape.head_dim));
        }
        Self::general(shape)
    }

    /// Errors if head_dim is over 256.
    pub fn general(shape: Shape) -> Result<Self> {
        match [64, 128, 256].into_iter().find(|&widest| shape.head_dim <= widest) {
            Some(widest) => Ok(KernelSet::General(widest)),
            None => bail!("attention on a GPU has a head_dim of up to 256, not {}", shape.head_dim),
        }
    }

    /// The kernel for `what` on tensors like `like`.
    pub fn name(self, what: &str, like: &Tensor) -> Result<String> {
        Ok(match self {
            KernelSet::General(widest) => format!("attention_{what}_{widest}_{}", suffix(like)?),
            KernelSet::TensorCores(dim) => format!("attention_{what}_mma_{dim}"),
        })
    }

    /// Rows of a tile, forward.
    pub fn forward_tile(self) -> usize {
        match self {
            KernelSet::General(_) => self.backward_tile(),
            KernelSet::TensorCores(_) => 128,
        }
    }

    /// Rows or keys of a tile, backward.
    pub fn backward_tile(self) -> usize {
        match self {
            KernelSet::General(256) => 16,
            KernelSet::General(_) => 32,
            KernelSet::TensorCores(_) => 64,
        }
    }

    /// Bytes of shared memory, forward.
    pub fn forward_shared(self, head_dim: usize) -> u32 {
        match self {
            KernelSet::General(_) => general_shared(head_dim, self.forward_tile(), 1),
            KernelSet::TensorCores(64) => tile_bytes(64, 128 + 3 * 64),
            KernelSet::TensorCores(dim) => tile_bytes(dim, 128 + 3 * 48),
        }
    }

    /// Bytes of shared memory, backward.
    pub fn backward_shared(self, head_dim: usize) -> u32 {
        match self {
            KernelSet::General(_) => general_shared(head_dim, self.backward_tile(), 2),
            KernelSet::TensorCores(dim) => {
                let streamed = if dim == 64 { 64 } else { 32 };
                // two stages; three numbers of each streamed row
                tile_bytes(dim, 2 * 64 + 4 * streamed) + (2 * 3 * 4 * streamed) as u32
            }
        }
    }
}

/// Whether all rows of `tensors` start at a multiple of 16 bytes.
pub(super) fn aligned(tensors: &[&Tensor]) -> bool {
    tensors.iter().all(|tensor| {
        let piece = 16 / tensor.dtype().size_in_bytes();
        tensor.layout().start_offset().is_multiple_of(piece) && tensor.stride()[0].is_multiple_of(piece)
    })
}

/// Bytes that the general kernels share: `owned` tiles, two streamed ones of 32 rows, and weights.
fn general_shared(head_dim: usize, tile: usize, owned: usize) -> u32 {
    let stride = head_dim.next_multiple_of(4);
    (4 * (owned * tile * stride + 2 * 32 * (stride + 4) + 32 * tile)) as u32
}

/// Bytes of so many rows of bf16.
fn tile_bytes(head_dim: usize, rows: usize) -> u32 {
    (2 * head_dim * rows) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_memory_fits_every_gpu() {
        for head_dim in 1..=256 {
            let shape = Shape { heads: 1, kv_heads: 1, head_dim, window: None };
            let kernels = KernelSet::general(shape).unwrap();
            assert!(kernels.forward_shared(head_dim).max(kernels.backward_shared(head_dim)) <= 99 << 10);
        }
        let bytes = |dim| {
            [KernelSet::forward_shared, KernelSet::backward_shared]
                .map(|f| f(KernelSet::TensorCores(dim), dim))
        };
        assert_eq!(bytes(64), [40 << 10, (48 << 10) + 1536]);
        assert_eq!(bytes(128), [68 << 10, (64 << 10) + 768]);
    }
}
