//! Products of rows with a weight, `y = x Wᵀ`, for generation: an element of y is one chain of
//! multiply-adds along k, in order, so that a row's bits depend on that row and the weight alone and not
//! on how many rows there are. (`gemm` chooses its kernels and its blocks along k by the number of
//! rows.) Lanes hold rows, so there is nothing to sum across lanes, and the weight is read once, as it
//! lies, for all rows: for a few rows this is as fast as memory is.

use std::ops::Range;

use candle_core::{Result, Tensor, bail};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::gpu::Gpu;
use super::matmul::matmul;
use super::storage::{Shared, unwritten, update, view};

/// Rows of the weight that one task multiplies, for few rows of x and for many.
const TASK: usize = 48;
const LARGE_TASK: usize = 192;
/// Products in a row for one element of y: addresses are made once for all of them.
const UNROLL: usize = 8;
/// Elements of k that a task goes through with all of its rows before the next ones.
const BLOCK: usize = 128;
/// Elements of a cache line.
const LINE: usize = 16;
/// Rows of x from which the large task is better.
const MANY: usize = 64;

/// x `[rows, k]`, weight `[n, k]`, both contiguous → `[rows, n]`. Errors if the shapes do not agree.
/// On a GPU the library's product, where a row's bits may depend on the number of rows.
pub fn row_product(x: &Tensor, weight: &Tensor) -> Result<Tensor> {
    let (rows, k) = x.dims2()?;
    let (n, k2) = weight.dims2()?;
    if k != k2 || k == 0 {
        bail!("product of rows [{rows}, {k}] with a weight [{n}, {k2}]")
    }
    if Gpu::of(x)?.is_some() {
        return matmul(x, &weight.t()?);
    }
    let y = unwritten((rows, n))?;
    let (x, weight) = (view(x)?, view(weight)?);
    update(&y, |y| {
        if rows > 0 && n > 0 {
            Arch::new().dispatch(RowTimesWeight { y, x: &x, weight: &weight, rows, n, k });
        }
        Ok(())
    })?;
    Ok(y)
}

struct RowTimesWeight<'a> {
    y: &'a mut [f32],
    x: &'a [f32],
    weight: &'a [f32],
    rows: usize,
    n: usize,
    k: usize,
}

/// Rows of x, transposed: `[k, width]`, absent rows 0.
struct Panel {
    first: usize,
    rows: usize,
    values: Vec<f32>,
}

impl WithSimd for RowTimesWeight<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let RowTimesWeight { y, x, weight, rows, n, k } = self;
        let panels = panels(x, rows, k, S::F32_LANES);
        let task = if rows < MANY { TASK } else { LARGE_TASK };
        let y = Shared::new(y);
        weight.par_chunks(task * k).enumerate().for_each(|(index, weight)| {
            simd.vectorize(Task { y, n, k, first: index * task, weight, panels: &panels });
        });
    }
}

/// The rows in panels of two vectors; what is left in one, if it fits.
fn panels(x: &[f32], rows: usize, k: usize, lanes: usize) -> Vec<Panel> {
    let starts: Vec<usize> = (0..rows).step_by(2 * lanes).collect();
    let panel = |&first: &usize| {
        let rows = (rows - first).min(2 * lanes);
        let width = rows.next_multiple_of(lanes);
        let mut values = vec![0f32; k * width];
        for (i, row) in x[first * k..][..rows * k].chunks_exact(k).enumerate() {
            for (value, out) in row.iter().zip(values[i..].iter_mut().step_by(width)) {
                *out = *value;
            }
        }
        Panel { first, rows, values }
    };
    starts.par_iter().map(panel).collect()
}

/// All rows of x with some rows of the weight.
struct Task<'a> {
    y: Shared,
    /// Columns of y.
    n: usize,
    k: usize,
    /// First of the weight's rows.
    first: usize,
    weight: &'a [f32],
    panels: &'a [Panel],
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for panel in self.panels {
            if panel.rows <= S::F32_LANES {
                self.panel::<S, 1, 8>(simd, panel);
            } else {
                self.panel::<S, 2, 6>(simd, panel);
            }
        }
    }
}

impl Task<'_> {
    /// A panel of `V` vectors, `N` rows of the weight at once. Goes along k in blocks, so that the
    /// panel's part stays in the nearest cache while all of the task's rows pass by.
    #[inline(always)]
    fn panel<S: Simd, const V: usize, const N: usize>(&self, simd: S, panel: &Panel) {
        let count = self.weight.len() / self.k;
        let mut sums = vec![[simd.splat_f32s(0.0); V]; count];
        for start in (0..self.k).step_by(BLOCK) {
            let end = (start + BLOCK).min(self.k);
            let mut row = 0;
            while row + N <= count {
                self.tile::<S, V, N>(simd, panel, row, start..end, &mut sums[row..row + N]);
                row += N;
            }
            while row < count {
                self.tile::<S, V, 1>(simd, panel, row, start..end, &mut sums[row..row + 1]);
                row += 1;
            }
        }
        for (row, sums) in sums.iter().enumerate() {
            let sums: &[f32] = bytemuck::cast_slice(sums);
            for (i, sum) in sums.iter().enumerate().take(panel.rows) {
                // SAFETY: one task per column of y, and the row is one of y's
                unsafe { *self.y.at((panel.first + i) * self.n + self.first + row) = *sum };
            }
        }
    }

    /// Adds the products of `block` of k to the sums of `N` rows of the weight.
    #[inline(always)]
    fn tile<S: Simd, const V: usize, const N: usize>(
        &self,
        simd: S,
        panel: &Panel,
        row: usize,
        block: Range<usize>,
        kept: &mut [[S::f32s; V]],
    ) {
        let k = self.k;
        let weights: [&[f32]; N] = std::array::from_fn(|j| &self.weight[(row + j) * k..][..k]);
        let (x, _) = S::as_simd_f32s(&panel.values);
        assert!(x.len() >= k * V && block.end <= k);
        let mut sums: [[S::f32s; V]; N] = std::array::from_fn(|j| kept[j]);
        let unrolled = block.end - block.len() % UNROLL;
        for i in (block.start..unrolled).step_by(UNROLL) {
            if i.is_multiple_of(LINE) {
                // what the next rows of the weight have of this part of k
                for j in 0..N {
                    prefetch(self.weight, (row + N + j) * k + i);
                }
            }
            // SAFETY: `i + UNROLL` is at most k, the length of each of `weights`; x has k · V vectors
            unsafe { multiply::<S, V, N, UNROLL>(simd, &mut sums, &weights, x, i) };
        }
        for i in unrolled..block.end {
            // SAFETY: as above
            unsafe { multiply::<S, V, N, 1>(simd, &mut sums, &weights, x, i) };
        }
        kept.copy_from_slice(&sums);
    }
}

/// Asks for the cache line of element `index`, which need not be there: the processor alone does not see so
/// many streams coming.
#[inline(always)]
fn prefetch(values: &[f32], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint about an address: it reads nothing, and no address is wrong
        unsafe { _mm_prefetch::<_MM_HINT_T0>(values.as_ptr().wrapping_add(index).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (values, index);
}

/// Adds `U` products to each sum, from the `i`-th of k on.
///
/// # Safety
/// `i + U` is at most the length of each of `weights`, and x has `V` vectors for each of those.
#[inline(always)]
unsafe fn multiply<S: Simd, const V: usize, const N: usize, const U: usize>(
    simd: S,
    sums: &mut [[S::f32s; V]; N],
    weights: &[&[f32]; N],
    x: &[S::f32s],
    i: usize,
) {
    for (weights, sums) in weights.iter().zip(sums) {
        for i in i..i + U {
            // SAFETY: the caller's promise
            let weight = simd.splat_f32s(unsafe { *weights.get_unchecked(i) });
            for (v, sum) in sums.iter_mut().enumerate() {
                // SAFETY: the caller's promise
                let x = unsafe { *x.get_unchecked(i * V + v) };
                *sum = simd.mul_add_e_f32s(weight, x, *sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::super::tests::random;
    use super::*;

    #[test]
    fn agrees_with_candle_for_every_number_of_rows() {
        for (n, k) in [(1, 1), (5, 7), (200, 33)] {
            let weight = random(n, k);
            for rows in [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, 50, 64, 70] {
                let x = random(rows, k);
                let got = row_product(&x, &weight).unwrap();
                assert_eq!(got.dims(), [rows, n]);
                if rows > 0 {
                    let want = x.matmul(&weight.t().unwrap()).unwrap();
                    let worst = (got - want).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap();
                    assert!(worst.to_scalar::<f32>().unwrap() < 1e-4, "{rows} rows, weight [{n}, {k}]");
                }
            }
        }
    }

    #[test]
    fn a_row_has_the_same_bits_whatever_rows_there_are_beside_it() {
        let (x, weight) = (random(70, 500), random(131, 500));
        let all = row_product(&x, &weight).unwrap().to_vec2::<f32>().unwrap();
        for (first, rows) in [(0, 1), (3, 1), (0, 3), (20, 16), (5, 17), (30, 40)] {
            let some = row_product(&x.narrow(0, first, rows).unwrap(), &weight).unwrap();
            assert_eq!(some.to_vec2::<f32>().unwrap(), all[first..first + rows]);
        }
    }

    #[test]
    fn products_where_kernels_run_agree() {
        trial::each(|trial| {
            let (x, weight) = (trial.random(5, 40), trial.random(33, 40));
            let want = trial.cpu(|| row_product(&x.cpu, &weight.cpu)).unwrap();
            trial.close(&row_product(&x.gpu, &weight.gpu).unwrap(), &want);
        });
    }

    #[test]
    fn refuses_shapes_that_do_not_agree() {
        let message = row_product(&random(2, 3), &random(4, 2)).unwrap_err().to_string();
        assert!(message.contains("[2, 3] with a weight [4, 2]"), "{message}");
    }
}
