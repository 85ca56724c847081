//! What kernels over rows are given: operands that lie as the kernels think, and a grid.

use candle_core::{DType, Result, Tensor, bail};

use super::gpu::Grid;

/// Bytes that a thread reads at a time.
const VECTOR: usize = 16;

/// Kernels see addresses alone. Errors unless all of these are contiguous and of this dtype.
pub(super) fn expect(dtype: DType, operands: &[&Tensor]) -> Result<()> {
    for operand in operands {
        if operand.dtype() != dtype || !operand.is_contiguous() {
            bail!("a kernel for {dtype:?} was given a {:?} of {:?}", operand.dtype(), operand.layout())
        }
    }
    Ok(())
}

/// Values of a dtype that a thread reads at a time.
pub(super) fn vector(dtype: DType) -> usize {
    VECTOR / dtype.size_in_bytes()
}

/// Threads for `rows`, along y, of `width` values, along x; `over_rows` of `vector.cuh` goes on from there.
pub(super) fn grid_of_rows(rows: usize, width: usize, dtype: DType) -> Grid {
    let vectors = width.div_ceil(vector(dtype)).max(1);
    let threads = vectors.next_multiple_of(32).min(256);
    let blocks = [vectors.div_ceil(threads) as u32, rows.clamp(1, 65_535) as u32, 1];
    Grid { blocks, threads: threads as u32, shared: 0 }
}

/// Threads for all values of a tensor; `over` of `vector.cuh` goes on from there.
pub(super) fn grid_of_values(tensor: &Tensor) -> Grid {
    Grid::over(tensor.elem_count().div_ceil(vector(tensor.dtype())))
}
