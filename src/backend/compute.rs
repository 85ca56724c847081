//! Where a model's tensors lie, and the float type of its weights and activations.

use std::fmt;

use anyhow::Result;
use candle_core::{DType, Device, Shape, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::gpu;

/// What computes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceSpec {
    /// All cores of this machine.
    #[default]
    Cpu,
    /// A GPU, by its number.
    Cuda(usize),
}

impl fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DeviceSpec::Cpu => f.write_str("cpu"),
            DeviceSpec::Cuda(ordinal) => write!(f, "cuda:{ordinal}"),
        }
    }
}

/// Float type of weights and activations. Sums, gradients of weights and what is trained are float32
/// with either.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Dtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// 16-bit floats with the range of 32-bit ones.
    Bf16,
}

impl Dtype {
    /// As in a recipe.
    pub fn name(self) -> &'static str {
        match self {
            Dtype::F32 => "f32",
            Dtype::Bf16 => "bf16",
        }
    }

    /// Bytes of a number.
    pub fn bytes(self) -> u64 {
        match self {
            Dtype::F32 => 4,
            Dtype::Bf16 => 2,
        }
    }
}

#[derive(Debug, Clone)]
pub struct Compute {
    pub device: Device,
    /// Of weights and activations: float32, or bf16 on a GPU.
    pub dtype: DType,
}

impl From<Dtype> for DType {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::F32 => DType::F32,
            Dtype::Bf16 => DType::BF16,
        }
    }
}

impl Default for Compute {
    /// Float32 on the CPU.
    fn default() -> Self {
        Compute { device: Device::Cpu, dtype: DType::F32 }
    }
}

impl Compute {
    /// Errors if there is no such device here.
    pub fn open(device: DeviceSpec, dtype: Dtype) -> Result<Self> {
        let device = match device {
            DeviceSpec::Cpu => Device::Cpu,
            DeviceSpec::Cuda(ordinal) => gpu::open::open(ordinal)?,
        };
        Ok(Compute { device, dtype: dtype.into() })
    }

    /// Where `tensor` lies.
    pub fn of(tensor: &Tensor) -> Self {
        Compute { device: tensor.device().clone(), dtype: tensor.dtype() }
    }

    /// `tensor` here, in its dtype.
    pub fn put(&self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.to_device(&self.device)?.to_dtype(self.dtype)?)
    }

    /// Zeros in its dtype.
    pub fn zeros(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        Ok(Tensor::zeros(shape, self.dtype, &self.device)?)
    }
}
