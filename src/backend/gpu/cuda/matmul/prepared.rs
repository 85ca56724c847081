//! A product's descriptors and the algorithm that cuBLASLt chooses for it.

use std::ffi::c_void;

use cudarc::cublaslt::result::{self, CublasError};
use cudarc::cublaslt::sys::{
    self, cublasComputeType_t as Compute, cublasLtMatmulAlgo_t,
    cublasLtMatmulDescAttributes_t as DescriptorAttribute,
    cublasLtMatmulPreferenceAttributes_t as Preference, cudaDataType,
};

use super::handle::{Handle, WORKSPACE};
use super::operand::Operand;
use super::problem::{Float, MatmulProblem};

/// Parts of a sum that several blocks share go through the workspace in float32 and are added in a fixed
/// order; the scheme that adds them in the result's dtype is left out.
const REDUCTION: u32 = sys::cublasLtReductionScheme_t::CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE as u32;

/// A product, ready to be started.
pub struct Prepared {
    product: ProductDescriptor,
    dst: Layout,
    lhs: Layout,
    rhs: Layout,
    algorithm: cublasLtMatmulAlgo_t,
}

// SAFETY: descriptors are plain memory, read alone once made
unsafe impl Send for Prepared {}
// SAFETY: as above
unsafe impl Sync for Prepared {}

impl Prepared {
    /// Errors if no algorithm computes the product.
    pub fn new(handle: Handle, problem: &MatmulProblem) -> Result<Self, CublasError> {
        let [into, operands] = problem.dtypes;
        let product = ProductDescriptor::new(problem)?;
        let dst = Layout::new(into, problem.dst)?;
        let lhs = Layout::new(operands, problem.lhs)?;
        let rhs = Layout::new(operands, problem.rhs)?;
        let preferences = Preferences::new(problem)?;
        // SAFETY: all of them were just made
        let found = unsafe {
            result::get_matmul_algo_heuristic(handle.0, product.0, rhs.0, lhs.0, dst.0, dst.0, preferences.0)
        }?;
        Ok(Prepared { product, dst, lhs, rhs, algorithm: found.algo })
    }

    pub fn product(&self) -> sys::cublasLtMatmulDesc_t {
        self.product.0
    }

    pub fn dst(&self) -> sys::cublasLtMatrixLayout_t {
        self.dst.0
    }

    pub fn lhs(&self) -> sys::cublasLtMatrixLayout_t {
        self.lhs.0
    }

    pub fn rhs(&self) -> sys::cublasLtMatrixLayout_t {
        self.rhs.0
    }

    pub fn algorithm(&self) -> &cublasLtMatmulAlgo_t {
        &self.algorithm
    }
}

/// How a product is computed; freed when dropped, as are those below.
struct ProductDescriptor(sys::cublasLtMatmulDesc_t);

impl ProductDescriptor {
    fn new(problem: &MatmulProblem) -> Result<Self, CublasError> {
        // float32 sums of float32 products, also of float32 operands: none is rounded to TF32
        let product = result::create_matmul_desc(Compute::CUBLAS_COMPUTE_32F, cudaDataType::CUDA_R_32F)?;
        let product = ProductDescriptor(product);
        product.set(DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSA, operation(problem.rhs))?;
        product.set(DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSB, operation(problem.lhs))?;
        Ok(product)
    }

    fn set(&self, which: DescriptorAttribute, value: i32) -> Result<(), CublasError> {
        // SAFETY: the attribute is a 32-bit number, copied during the call
        unsafe {
            result::set_matmul_desc_attribute(self.0, which, (&raw const value).cast(), size_of_val(&value))
        }
    }
}

/// CUBLAS_OP_T or CUBLAS_OP_N. Both sides are read columns first, as their transposes, so that what lies in
/// memory as it is takes no operation.
fn operation(operand: Operand) -> i32 {
    i32::from(operand.transposed)
}

impl Drop for ProductDescriptor {
    fn drop(&mut self) {
        // SAFETY: made by `create_matmul_desc` and freed once
        freed(unsafe { result::destroy_matmul_desc(self.0) });
    }
}

struct Layout(sys::cublasLtMatrixLayout_t);

impl Layout {
    fn new(dtype: Float, operand: Operand) -> Result<Self, CublasError> {
        let dtype = match dtype {
            Float::F32 => cudaDataType::CUDA_R_32F,
            Float::Bf16 => cudaDataType::CUDA_R_16BF,
        };
        let (rows, cols) = operand.columns_first();
        let layout = result::create_matrix_layout(dtype, rows as u64, cols as u64, operand.leading as i64)?;
        Ok(Layout(layout))
    }
}

impl Drop for Layout {
    fn drop(&mut self) {
        // SAFETY: made by `create_matrix_layout` and freed once
        freed(unsafe { result::destroy_matrix_layout(self.0) });
    }
}

/// What an algorithm must heed.
struct Preferences(sys::cublasLtMatmulPreference_t);

impl Preferences {
    fn new(problem: &MatmulProblem) -> Result<Self, CublasError> {
        let preferences = Preferences(result::create_matmul_pref()?);
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &(WORKSPACE as u64))?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &REDUCTION)?;
        let [d, l, r] = problem.alignments;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &r)?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &l)?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &d)?;
        preferences.set(Preference::CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &d)?;
        Ok(preferences)
    }

    fn set<T>(&self, which: Preference, value: &T) -> Result<(), CublasError> {
        let from = std::ptr::from_ref(value).cast::<c_void>();
        // SAFETY: `value` is of the attribute's type, and copied during the call
        unsafe { result::set_matmul_pref_attribute(self.0, which, from, size_of::<T>()) }
    }
}

impl Drop for Preferences {
    fn drop(&mut self) {
        // SAFETY: made by `create_matmul_pref` and freed once
        freed(unsafe { result::destroy_matmul_pref(self.0) });
    }
}

/// Nothing depends on it, but it is not to go unseen.
fn freed(status: Result<(), CublasError>) {
    if let Err(error) = status {
        eprintln!("warning: cuBLASLt did not free a descriptor: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::libraries::{forwards::CUBLAS_MAJOR, open_toolkit};
    use super::*;
    use candle_core::{DType, Device, Tensor};

    /// Descriptors are made without a GPU; cuBLASLt looks at each attribute and its size.
    #[test]
    fn cublaslt_takes_our_descriptors() {
        if let Err(error) = open_toolkit() {
            eprintln!("skipped: {error:#}");
            return;
        }
        // SAFETY: takes nothing and returns a number
        let version = unsafe { sys::cublasLtGetVersion() };
        assert_eq!(version / 10_000, CUBLAS_MAJOR as usize);
        let zeros = |rows, cols| Tensor::zeros((rows, cols), DType::BF16, &Device::Cpu).unwrap();
        let dst = Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap();
        let tensors = [&dst, &zeros(3, 4), &zeros(5, 4).t().unwrap()];
        let (problem, _) = MatmulProblem::of(tensors, [1 << 20, 16, 2]).unwrap();
        Preferences::new(&problem).unwrap();
        let product = ProductDescriptor::new(&problem).unwrap();
        assert_eq!(attribute(&product, DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSA), 1);
        assert_eq!(attribute(&product, DescriptorAttribute::CUBLASLT_MATMUL_DESC_TRANSB), 0);
        let rhs = Layout::new(problem.dtypes[1], problem.rhs).unwrap();
        let (mut rows, mut written) = (0u64, 0);
        let which = sys::cublasLtMatrixLayoutAttribute_t::CUBLASLT_MATRIX_LAYOUT_ROWS;
        // SAFETY: writes the number that the attribute is
        let status = unsafe {
            sys::cublasLtMatrixLayoutGetAttribute(rhs.0, which, (&raw mut rows).cast(), 8, &mut written)
        };
        assert_eq!((status.result(), rows, written), (Ok(()), 4, 8));
    }

    fn attribute(product: &ProductDescriptor, which: DescriptorAttribute) -> i32 {
        let (mut value, mut written) = (-1i32, 0);
        // SAFETY: writes the number that the attribute is
        let status = unsafe {
            sys::cublasLtMatmulDescGetAttribute(product.0, which, (&raw mut value).cast(), 4, &mut written)
        };
        assert_eq!((status.result(), written), (Ok(()), 4));
        value
    }
}
