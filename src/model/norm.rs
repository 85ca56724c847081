//! RMSNorm with its weight.

use anyhow::Result;
use candle_core::Tensor;

use super::param::Param;
use crate::backend::norm::{add_rms_norm, rms_norm, rms_norm_backward};

#[derive(Debug, Clone)]
pub struct Norm {
    /// As in checkpoints, e.g. `model.layers.0.input_layernorm`.
    pub module: String,
    /// `[width]`.
    pub weight: Param,
    pub eps: f64,
}

impl Norm {
    /// x `[rows, width]` → the normalised rows, and 1/rms of each, which backward needs.
    pub fn forward(&self, x: &Tensor) -> Result<(Tensor, Tensor)> {
        Ok(rms_norm(x, &self.weight.value, self.eps)?)
    }

    /// The sum x + y, the sum normalised, and 1/rms of each of its rows.
    pub fn forward_sum(&self, x: &Tensor, y: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        Ok(add_rms_norm(x, y, &self.weight.value, self.eps)?)
    }

    /// Adds the gradient with respect to x to `dx`, and that of the weight to its own, if it is trained.
    /// x and `inverse` as `forward` had and gave them; dy is the gradient of the normalised rows.
    pub fn backward(&self, dx: &Tensor, x: &Tensor, inverse: &Tensor, dy: &Tensor) -> Result<()> {
        Ok(rms_norm_backward(dx, x, &self.weight.value, inverse, dy, self.weight.grad.as_ref())?)
    }
}
