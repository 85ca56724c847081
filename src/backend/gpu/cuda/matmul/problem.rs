//! A product in the terms of cuBLASLt, which reads columns first, so that `dst = lhs × rhs` in our order is
//! `dstᵀ = rhsᵀ × lhsᵀ` in its order, and no operand moves.

use std::fmt;

use candle_core::{DType, Result, Tensor, bail};

use super::operand::Operand;

/// All that the choice of an algorithm depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MatmulProblem {
    pub dst: Operand,
    pub lhs: Operand,
    pub rhs: Operand,
    /// Of `dst`, and of both operands.
    pub dtypes: [Float; 2],
    /// What the addresses of `dst`, `lhs` and `rhs` are multiples of, bytes, up to [`ALIGNED`].
    pub alignments: [u32; 3],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Float {
    F32,
    Bf16,
}

/// No algorithm asks for more.
const ALIGNED: u32 = 256;

impl Float {
    fn of(tensor: &Tensor) -> Result<Self> {
        match tensor.dtype() {
            DType::F32 => Ok(Float::F32),
            DType::BF16 => Ok(Float::Bf16),
            other => bail!("matrix products are of float32 and bf16, not {other:?}"),
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            Float::F32 => 4,
            Float::Bf16 => 2,
        }
    }
}

impl MatmulProblem {
    /// The product `tensors` (`dst`, `lhs`, `rhs`) at `addresses`, and the addresses in the order of the
    /// problem's own operands: a transposed `dst` is written as what it is the transpose of. Errors if
    /// shapes, layouts or dtypes do not fit.
    pub fn of(tensors: [&Tensor; 3], addresses: [u64; 3]) -> Result<(Self, [u64; 3])> {
        let [dst, lhs, rhs] = tensors;
        let (m, k) = lhs.dims2()?;
        let (k2, n) = rhs.dims2()?;
        if k != k2 || dst.dims2()? != (m, n) {
            bail!("matrix product of [{m}, {k}] and [{k2}, {n}] into {:?}", dst.shape())
        }
        let operands = Float::of(lhs)?;
        let into = Float::of(dst)?;
        if Float::of(rhs)? != operands || (into != operands && into != Float::F32) {
            let dtypes = (lhs.dtype(), rhs.dtype(), dst.dtype());
            bail!("matrix product of {:?} and {:?} into {:?}", dtypes.0, dtypes.1, dtypes.2)
        }
        let operand = |tensor: &Tensor| match *tensor.stride() {
            [row, column] => match Operand::of(tensor.dims2()?, (row, column)) {
                Some(operand) => Ok(operand),
                None => bail!("matrix product of a view {:?} of strides [{row}, {column}]", tensor.shape()),
            },
            _ => bail!("matrix product of {:?}", tensor.shape()),
        };
        let mut problem = MatmulProblem {
            dst: operand(dst)?,
            lhs: operand(lhs)?,
            rhs: operand(rhs)?,
            dtypes: [into, operands],
            alignments: [0; 3],
        };
        let mut addresses = addresses;
        if problem.dst.transposed {
            let (l, r) = (problem.lhs, problem.rhs);
            problem = MatmulProblem { dst: problem.dst.t(), lhs: r.t(), rhs: l.t(), ..problem };
            addresses.swap(1, 2);
        }
        problem.alignments = addresses.map(alignment);
        Ok((problem, addresses))
    }

    /// Whether there is nothing to add up.
    pub fn is_empty(&self) -> bool {
        self.dst.rows == 0 || self.dst.cols == 0 || self.lhs.cols == 0
    }

    /// Of `dst`: bytes from row to row, bytes of a row, rows.
    pub fn rows_of_bytes(&self) -> (usize, usize, usize) {
        let bytes = self.dtypes[0].bytes();
        (self.dst.leading * bytes, self.dst.cols * bytes, self.dst.rows)
    }
}

impl fmt::Display for MatmulProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matrix = |m: Operand| {
            let place = if m.transposed { "columns" } else { "rows" };
            format!("[{}, {}] ({place} {} apart)", m.rows, m.cols, m.leading)
        };
        let [into, operands] = self.dtypes;
        let (dst, lhs, rhs) = (matrix(self.dst), matrix(self.lhs), matrix(self.rhs));
        write!(f, "{operands:?} matrix product of {lhs} and {rhs} into {into:?} {dst}")
    }
}

fn alignment(address: u64) -> u32 {
    1 << address.trailing_zeros().min(ALIGNED.trailing_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn zeros(rows: usize, cols: usize) -> Tensor {
        Tensor::zeros((rows, cols), DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn a_transposed_result_is_the_product_the_other_way_round() {
        let (a, b, d) = (zeros(3, 4), zeros(5, 4), zeros(5, 3));
        let tensors = [&d.t().unwrap(), &a, &b.t().unwrap()];
        let (problem, addresses) = MatmulProblem::of(tensors, [1 << 20, 48, 4]).unwrap();
        let direct = MatmulProblem::of([&d, &b, &a.t().unwrap()], [1 << 20, 4, 48]).unwrap();
        assert_eq!((problem, addresses), direct);
        assert_eq!(problem.alignments, [256, 4, 16]);
        assert_eq!(
            problem.to_string(),
            "F32 matrix product of [5, 4] (rows 4 apart) and [4, 3] (columns 4 apart) into F32 [5, 3] (rows 3 apart)"
        );
    }

    #[test]
    fn what_an_algorithm_depends_on_is_told_apart() {
        let (a, b, d) = (zeros(3, 8), zeros(8, 8), zeros(3, 8));
        let key = |tensors: [&Tensor; 3], addresses| MatmulProblem::of(tensors, addresses).unwrap().0;
        let first = key([&d, &a, &b], [256, 512, 1024]);
        assert_eq!(first, key([&d, &a, &b], [2048, 256, 256]));
        assert_ne!(first, key([&d, &a, &b], [256, 512, 1028]));
        assert_ne!(first, key([&d, &a, &b.t().unwrap()], [256, 512, 1024]));
        let wide = zeros(3, 16);
        assert_ne!(first, key([&wide.narrow(1, 0, 8).unwrap(), &a, &b], [256, 512, 1024]));
        let bf16 = [&a, &b].map(|t| t.to_dtype(DType::BF16).unwrap());
        assert_ne!(first, key([&d, &bf16[0], &bf16[1]], [256, 512, 1024]));
    }

    #[test]
    fn sums_of_nothing() {
        let problem =
            |m, k, n| MatmulProblem::of([&zeros(m, n), &zeros(m, k), &zeros(k, n)], [256; 3]).unwrap().0;
        assert!(problem(0, 4, 5).is_empty() && problem(3, 0, 5).is_empty() && problem(3, 4, 0).is_empty());
        assert!(!problem(1, 1, 1).is_empty());
        assert_eq!(problem(3, 0, 5).rows_of_bytes(), (20, 20, 3));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        let refusal = |tensors: [&Tensor; 3]| MatmulProblem::of(tensors, [256; 3]).unwrap_err().to_string();
        let shapes = refusal([&zeros(3, 5), &zeros(3, 4), &zeros(5, 5)]);
        assert!(shapes.starts_with("matrix product of [3, 4] and [5, 5] into [3, 5]"), "{shapes}");
        let half = zeros(3, 5).to_dtype(DType::BF16).unwrap();
        let dtypes = refusal([&half, &zeros(3, 4), &zeros(4, 5)]);
        assert!(dtypes.starts_with("matrix product of F32 and F32 into BF16"), "{dtypes}");
        let spread = zeros(1, 4).broadcast_as((3, 4)).unwrap();
        let layout = refusal([&zeros(3, 5), &spread, &zeros(4, 5)]);
        assert!(layout.starts_with("matrix product of a view [3, 4] of strides [0, 1]"), "{layout}");
    }
}
