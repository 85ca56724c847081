//! A weight and, if it is trained, its gradient.

use anyhow::Result;
use candle_core::{DType, Tensor};

use crate::backend::Compute;

/// A weight; all of its tensors have one shape.
#[derive(Debug, Clone)]
pub struct Param {
    /// What the model computes with: float32, or bf16 on a GPU.
    pub value: Tensor,
    /// Float32; there when the weight is trained.
    pub grad: Option<Tensor>,
    /// The float32 weight that is trained, where `value` is its copy in bf16.
    pub master: Option<Tensor>,
}

impl Param {
    pub fn frozen(value: Tensor) -> Self {
        Param { value, grad: None, master: None }
    }

    /// `full`, of any float type, on the device and in the float type of `compute`; trained ones keep a master of all its digits.
    pub fn at(compute: &Compute, full: Tensor, train: bool) -> Result<Self> {
        let full = full.to_device(&compute.device)?;
        let value = full.to_dtype(compute.dtype)?;
        if !train {
            return Ok(Self::frozen(value));
        }
        let grad = Some(Tensor::zeros(value.shape(), DType::F32, value.device())?);
        let master = (value.dtype() == DType::BF16).then(|| full.to_dtype(DType::F32)).transpose()?;
        Ok(Param { value, grad, master })
    }

    /// The weight with all its digits.
    pub fn full(&self) -> &Tensor {
        self.master.as_ref().unwrap_or(&self.value)
    }

    /// `value` as it lies, trained.
    pub fn trained(value: Tensor) -> Result<Self> {
        Self::at(&Compute::of(&value), value, true)
    }
}

/// A trained weight as the optimiser sees it.
pub struct Trained<'a> {
    /// Unique within the model; names the weight in checkpoints.
    pub name: String,
    /// What the model computes with.
    pub value: &'a Tensor,
    /// The float32 weight, where `value` is its copy in bf16; without it, `value` is float32 itself.
    pub master: Option<&'a Tensor>,
    pub grad: &'a Tensor,
    /// Whether weight decay applies: not to norms and biases.
    pub decay: bool,
}

impl Trained<'_> {
    /// The float32 weight that is optimised and kept in checkpoints.
    pub fn optimised(&self) -> &Tensor {
        self.master.unwrap_or(self.value)
    }
}

/// Collects `param` if it is trained.
pub(super) fn collect<'a>(
    found: &mut Vec<Trained<'a>>,
    name: impl FnOnce() -> String,
    param: &'a Param,
    decay: bool,
) {
    if let Some(grad) = &param.grad {
        let master = param.master.as_ref();
        found.push(Trained { name: name(), value: &param.value, master, grad, decay });
    }
}
