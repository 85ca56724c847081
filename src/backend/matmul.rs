//! Matrix products over candle tensors of any two strides, accumulating on request. The products
//! themselves are the `gemm` crate's (AVX-512, AVX2 or NEON, chosen at run time), on a GPU cuBLASLt's.

use candle_core::{DType, Layout, Result, Tensor, bail};
use gemm::Parallelism;
use rayon::prelude::*;

use super::checks::{expect, grid_of_rows};
use super::column_sums::{self, Terms};
use super::gpu::{self, Gpu};
use super::norm::Heads;
use super::storage::{Shared, strided, unwritten, update, update_strided, view};

/// Rows (or columns) of the product that one task computes, about. It depends on shapes only, so that
/// the number of threads cannot change a result; and each task packs the other operand for itself,
/// so it is not small.
const BLOCK: usize = 512;

/// A matrix inside a buffer: `[rows, cols]`, element (i, j) at `offset + i·row + j·col`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mat {
    pub offset: usize,
    pub rows: usize,
    pub cols: usize,
    pub row: usize,
    pub col: usize,
}

impl Mat {
    /// Row-major `[rows, cols]` with rows `row` elements apart.
    pub fn rows(offset: usize, rows: usize, cols: usize, row: usize) -> Self {
        Mat { offset, rows, cols, row, col: 1 }
    }

    pub fn t(self) -> Self {
        Mat { rows: self.cols, cols: self.rows, row: self.col, col: self.row, ..self }
    }

    fn of(layout: &Layout) -> Result<Self> {
        let (rows, cols) = layout.shape().dims2()?;
        let stride = layout.stride();
        Ok(Mat { offset: layout.start_offset(), rows, cols, row: stride[0], col: stride[1] })
    }

    fn end(self) -> usize {
        match (self.rows, self.cols) {
            (0, _) | (_, 0) => self.offset,
            (r, c) => self.offset + (r - 1) * self.row + (c - 1) * self.col + 1,
        }
    }

    fn row_range(self, start: usize, len: usize) -> Self {
        Mat { offset: self.offset + start * self.row, rows: len, ..self }
    }

    fn col_range(self, start: usize, len: usize) -> Self {
        Mat { offset: self.offset + start * self.col, cols: len, ..self }
    }
}

/// `dst ← (accumulate ? dst : 0) + scale · lhs × rhs` on the calling thread alone.
///
/// # Safety
/// `dst` holds `d`, and no other thread touches those elements meanwhile.
pub(crate) unsafe fn gemm_on_thread(
    (dst, d): (Shared, Mat),
    (lhs, l): (&[f32], Mat),
    (rhs, r): (&[f32], Mat),
    scale: f32,
    accumulate: bool,
) {
    assert!(l.end() <= lhs.len() && r.end() <= rhs.len() && l.cols == r.rows);
    assert!(d.rows == l.rows && d.cols == r.cols);
    // SAFETY: the operands lie in their buffers (asserted), the destination by the caller's promise
    unsafe {
        gemm::gemm(
            d.rows,
            d.cols,
            l.cols,
            dst.at(d.offset),
            d.col as isize,
            d.row as isize,
            accumulate,
            lhs.as_ptr().wrapping_add(l.offset),
            l.col as isize,
            l.row as isize,
            rhs.as_ptr().wrapping_add(r.offset),
            r.col as isize,
            r.row as isize,
            1.0f32,
            scale,
            false,
            false,
            false,
            Parallelism::None,
        )
    }
}

/// `dst ← (accumulate ? dst : 0) + scale · lhs × rhs`, in parallel over blocks of the product.
pub(crate) fn gemm_blocks(
    (dst, d): (&mut [f32], Mat),
    lhs: (&[f32], Mat),
    rhs: (&[f32], Mat),
    scale: f32,
    accumulate: bool,
) {
    assert!(d.end() <= dst.len());
    let shared = Shared::new(dst);
    let by_rows = d.rows >= d.cols;
    let extent = d.rows.max(d.cols);
    // an even number of equal blocks keeps two threads busy to the end
    let blocks = if extent <= BLOCK / 2 { 1 } else { extent.div_ceil(2 * BLOCK) * 2 };
    let step = extent.div_ceil(blocks).next_multiple_of(16);
    (0..extent.div_ceil(step)).into_par_iter().for_each(|block| {
        let start = block * step;
        let len = step.min(extent - start);
        // SAFETY: blocks are disjoint rows (or columns) of `dst`, which `d` lies in
        unsafe {
            if by_rows {
                let l = (lhs.0, lhs.1.row_range(start, len));
                gemm_on_thread((shared, d.row_range(start, len)), l, rhs, scale, accumulate);
            } else {
                let r = (rhs.0, rhs.1.col_range(start, len));
                gemm_on_thread((shared, d.col_range(start, len)), lhs, r, scale, accumulate);
            }
        }
    });
}

/// `dst ← (accumulate ? dst : 0) + scale · lhs × rhs`: `[m, n]`, `[m, k]`, `[k, n]`, any strides.
/// `dst` may share its storage with neither operand. Errors if the shapes do not agree.
pub fn matmul_into(dst: &Tensor, lhs: &Tensor, rhs: &Tensor, scale: f64, accumulate: bool) -> Result<()> {
    let (m, k) = lhs.dims2()?;
    let (k2, n) = rhs.dims2()?;
    if k != k2 || dst.dims2()? != (m, n) {
        bail!("matrix product of [{m}, {k}] and [{k2}, {n}] into {:?}", dst.shape())
    }
    if let Some(gpu) = Gpu::of(lhs)? {
        return gpu.matmul(dst, lhs, rhs, scale as f32, accumulate);
    }
    let (a, a_layout) = strided(lhs)?;
    let (b, b_layout) = strided(rhs)?;
    let (a_mat, b_mat) = (Mat::of(&a_layout)?, Mat::of(&b_layout)?);
    update_strided(dst, |values, layout| {
        gemm_blocks((values, Mat::of(layout)?), (&a, a_mat), (&b, b_mat), scale as f32, accumulate);
        Ok(())
    })
}

/// `lhs × rhs`, `[m, n]`: a new tensor.
pub fn matmul(lhs: &Tensor, rhs: &Tensor) -> Result<Tensor> {
    let shape = (lhs.dim(0)?, rhs.dim(1)?);
    let dst = match Gpu::of(lhs)? {
        Some(_) => gpu::unwritten(shape, lhs.dtype(), lhs.device())?,
        None => unwritten(shape)?,
    };
    matmul_into(&dst, lhs, rhs, 1.0, false)?;
    Ok(dst)
}

/// y ← y + bias on every row of `[rows, cols]`.
pub fn add_bias(y: &Tensor, bias: &Tensor) -> Result<()> {
    let (rows, cols) = y.dims2()?;
    if bias.dims1()? != cols {
        bail!("a bias {:?} for rows [{rows}, {cols}]", bias.shape())
    }
    if let Some(gpu) = Gpu::of(y)? {
        expect(y.dtype(), &[y, bias])?;
        let arguments = [y.into(), bias.into(), rows.into(), cols.into()];
        let grid = grid_of_rows(rows, cols, y.dtype());
        return gpu.launch(&format!("add_bias_{}", gpu::suffix(y)?), grid, &arguments);
    }
    let bias = view(bias)?;
    update(y, |values| {
        values.par_chunks_mut(bias.len()).for_each(|row| {
            row.iter_mut().zip(bias.iter()).for_each(|(y, b)| *y += b);
        });
        Ok(())
    })
}

/// grad ← grad + the sum of the rows of `dy` `[rows, cols]`; `grad` is `[cols]`, float32.
pub fn add_column_sums(grad: &Tensor, dy: &Tensor) -> Result<()> {
    let (rows, cols) = dy.dims2()?;
    if grad.dims1()? != cols {
        bail!("sums {:?} of the columns of [{rows}, {cols}]", grad.shape())
    }
    if let Some(gpu) = Gpu::of(dy)? {
        expect(DType::F32, &[grad])?;
        expect(dy.dtype(), &[dy])?;
        return column_sums::add(gpu, grad, &Terms { dy, at: Heads::whole(cols), times: None });
    }
    let dy = view(dy)?;
    update(grad, |grad| {
        for row in dy.chunks_exact(cols) {
            grad.iter_mut().zip(row).for_each(|(g, d)| *g += d);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::super::gpu::trial;
    use super::super::tests::random;
    use super::*;

    fn distance(a: &Tensor, b: &Tensor) -> f32 {
        (a - b).unwrap().abs().unwrap().flatten_all().unwrap().max(0).unwrap().to_scalar().unwrap()
    }

    #[test]
    fn products_agree_with_candle_for_every_layout() {
        for (m, k, n) in [(1, 7, 5), (300, 33, 70), (20, 64, 700), (513, 9, 1)] {
            let (a, b) = (random(m, k), random(k, n));
            let want = a.matmul(&b).unwrap();
            let bt = b.t().unwrap().contiguous().unwrap();
            let at = a.t().unwrap().contiguous().unwrap();
            for lhs in [a.clone(), at.t().unwrap()] {
                for rhs in [b.clone(), bt.t().unwrap()] {
                    assert!(distance(&matmul(&lhs, &rhs).unwrap(), &want) < 1e-4);
                }
            }
        }
    }

    #[test]
    fn accumulates_into_a_strided_part() {
        let (a, b) = (random(40, 8), random(8, 12));
        let whole = random(40, 30);
        let before = whole.copy().unwrap();
        let part = whole.narrow(1, 5, 12).unwrap();
        matmul_into(&part, &a, &b, 0.5, true).unwrap();
        let want = (before.narrow(1, 5, 12).unwrap() + (a.matmul(&b).unwrap() * 0.5).unwrap()).unwrap();
        assert!(distance(&part, &want) < 1e-4);
        let rest = whole.narrow(1, 17, 13).unwrap();
        assert_eq!(distance(&rest, &before.narrow(1, 17, 13).unwrap()), 0.0);
    }

    #[test]
    fn products_where_kernels_run_agree() {
        trial::each(|trial| {
            for (m, k, n) in [(1, 7, 5), (33, 9, 70), (20, 64, 3)] {
                let (a, b, bt) = (trial.random(m, k), trial.random(k, n), trial.random(n, k));
                let want = trial.cpu(|| matmul(&a.cpu, &b.cpu)).unwrap();
                trial.close(&matmul(&a.gpu, &b.gpu).unwrap(), &want);
                let whole = trial.random(m, n + 4);
                let (part, want) = (whole.gpu.narrow(1, 3, n).unwrap(), whole.cpu.narrow(1, 3, n).unwrap());
                matmul_into(&part, &a.gpu, &bt.gpu.t().unwrap(), 0.5, true).unwrap();
                trial.cpu(|| matmul_into(&want, &a.cpu, &bt.cpu.t().unwrap(), 0.5, true)).unwrap();
                trial.close(&whole.gpu, &whole.cpu);
                let sums = Tensor::zeros((k, n), candle_core::DType::F32, &trial.device).unwrap();
                let dy = trial.random(m, n);
                matmul_into(&sums, &a.gpu.t().unwrap(), &dy.gpu, 1.0, true).unwrap();
                let want = trial.cpu(|| matmul(&a.cpu.t().unwrap(), &dy.cpu)).unwrap();
                trial.close(&sums, &want);
            }
        });
    }

    #[test]
    fn biases_where_kernels_run_agree() {
        trial::each(|trial| {
            for (rows, cols) in [(1, 1), (3, 37), (300, 264)] {
                let (y, bias, grad) =
                    (trial.random(rows, cols), trial.random(1, cols), trial.random(1, cols));
                let row = |t: &Tensor| t.squeeze(0).unwrap();
                add_bias(&y.gpu, &row(&bias.gpu)).unwrap();
                trial.cpu(|| add_bias(&y.cpu, &row(&bias.cpu))).unwrap();
                trial.close(&y.gpu, &y.cpu);
                let sums = trial.put(&row(&grad.cpu));
                add_column_sums(&sums, &y.gpu).unwrap();
                trial.cpu(|| add_column_sums(&row(&grad.cpu), &y.cpu)).unwrap();
                trial.close(&sums, &row(&grad.cpu));
            }
        });
    }

    #[test]
    fn refuses_shapes_that_do_not_agree() {
        let message = matmul(&random(2, 3), &random(4, 2)).unwrap_err().to_string();
        assert!(message.contains("[2, 3] and [4, 2]"), "{message}");
    }
}
