//! Where a model's tensors lie, and the float type of its weights and activations.

use anyhow::Result;
use candle_core::{DType, Device, Shape, Tensor};

use super::gpu;
use crate::model::spec::{DeviceSpec, Dtype};

#[derive(Debug, Clone)]
pub struct Place {
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

impl Default for Place {
    /// Float32 on the CPU.
    fn default() -> Self {
        Place { device: Device::Cpu, dtype: DType::F32 }
    }
}

impl Place {
    /// Errors if there is no such device here.
    pub fn open(device: DeviceSpec, dtype: Dtype) -> Result<Self> {
        let device = match device {
            DeviceSpec::Cpu => Device::Cpu,
            DeviceSpec::Cuda(ordinal) => gpu::open::open(ordinal)?,
        };
        Ok(Place { device, dtype: dtype.into() })
    }

    /// Where `tensor` lies.
    pub fn of(tensor: &Tensor) -> Self {
        Place { device: tensor.device().clone(), dtype: tensor.dtype() }
    }

    /// `tensor` here, in this place's dtype.
    pub fn put(&self, tensor: &Tensor) -> Result<Tensor> {
        Ok(tensor.to_device(&self.device)?.to_dtype(self.dtype)?)
    }

    /// Zeros in this place's dtype.
    pub fn zeros(&self, shape: impl Into<Shape>) -> Result<Tensor> {
        Ok(Tensor::zeros(shape, self.dtype, &self.device)?)
    }
}
