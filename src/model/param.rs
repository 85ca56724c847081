//! A weight and, if it is trained, its gradient.

use anyhow::Result;
use candle_core::Tensor;

/// A weight; `grad` is there when it is trained and has the same shape.
#[derive(Debug, Clone)]
pub struct Param {
    pub value: Tensor,
    pub grad: Option<Tensor>,
}

impl Param {
    pub fn frozen(value: Tensor) -> Self {
        Param { value, grad: None }
    }

    pub fn trained(value: Tensor) -> Result<Self> {
        let grad = Some(value.zeros_like()?);
        Ok(Param { value, grad })
    }

    /// Frozen or trained, as asked.
    pub fn new(value: Tensor, train: bool) -> Result<Self> {
        if train { Self::trained(value) } else { Ok(Self::frozen(value)) }
    }
}

/// A trained weight as the optimiser sees it.
pub struct Trained<'a> {
    /// Unique within the model; names the weight in checkpoints.
    pub name: String,
    pub value: &'a Tensor,
    pub grad: &'a Tensor,
    /// Whether weight decay applies: not to norms and biases.
    pub decay: bool,
}

/// Collects `param` if it is trained.
pub(super) fn collect<'a>(
    found: &mut Vec<Trained<'a>>,
    name: impl FnOnce() -> String,
    param: &'a Param,
    decay: bool,
) {
    if let Some(grad) = &param.grad {
        found.push(Trained { name: name(), value: &param.value, grad, decay });
    }
}
