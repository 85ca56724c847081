//! Weights in training with their gradients and moments: what the global norm and the optimiser go over.
//! On a GPU a table of where they lie is made once, so that one launch goes over all of them.

use candle_core::{DType, Result, Tensor, bail};

use super::gpu::{Arg, Gpu, Grid};

/// Elements that one block of a kernel goes over, as in `kernels/trained.cuh`.
const PIECE: usize = 16_384;

/// Tensors of one shape, contiguous, float32.
pub struct TrainedWeight {
    pub weight: Tensor,
    /// The weight in bf16, which the model computes with; follows the weight.
    pub copy: Option<Tensor>,
    pub grad: Tensor,
    /// First and second moment of the gradient.
    pub m: Tensor,
    pub v: Tensor,
    /// Whether weight decay applies.
    pub decays: bool,
}

/// All of them on one device.
pub struct TrainedWeights {
    weights: Vec<TrainedWeight>,
    table: Option<AddressTable>,
}

/// Where the weights lie on a GPU. Their tensors neither move nor go while it lives, as it lives with them.
pub(super) struct AddressTable {
    pub gpu: Gpu,
    /// `[weights, 7]`, i64: addresses of weight, copy or 0, gradient, moments; elements; whether it decays.
    weights: Tensor,
    /// `[pieces, 2]`: index of a weight, and how many of its pieces lie before.
    pieces: Tensor,
}

impl TrainedWeight {
    /// Makes the copy what the weight is.
    pub fn refresh_copy(&self) -> Result<()> {
        match &self.copy {
            Some(copy) => copy.slice_set(&self.weight.to_dtype(copy.dtype())?, 0, 0),
            None => Ok(()),
        }
    }

    fn row(&self, gpu: Gpu) -> Result<[i64; 7]> {
        let n = self.weight.elem_count();
        let floats = [&self.weight, &self.grad, &self.m, &self.v].map(|tensor| (tensor, DType::F32));
        for (tensor, dtype) in floats.into_iter().chain(self.copy.iter().map(|copy| (copy, DType::BF16))) {
            let same_device = tensor.device().same_device(self.weight.device());
            let fits = tensor.elem_count() == n && tensor.is_contiguous() && tensor.dtype() == dtype;
            if !same_device || !fits {
                bail!("a weight in training is {:?}, a tensor of it {tensor:?}", self.weight)
            }
        }
        let address = |tensor: &Tensor| gpu.address(tensor).map(|address| address as i64);
        let copy = self.copy.as_ref().map_or(Ok(0), address)?;
        let [weight, grad] = [address(&self.weight)?, address(&self.grad)?];
        Ok([weight, copy, grad, address(&self.m)?, address(&self.v)?, n as i64, i64::from(self.decays)])
    }
}

impl TrainedWeights {
    /// Errors if shapes or dtypes are others, or if they lie on several devices.
    pub fn new(weights: Vec<TrainedWeight>) -> Result<Self> {
        let gpu = weights.first().map_or(Ok(None), |first| Gpu::of(&first.weight))?;
        let table = gpu.map(|gpu| AddressTable::new(gpu, &weights)).transpose()?;
        Ok(TrainedWeights { weights, table })
    }

    pub(super) fn table(&self) -> Option<&AddressTable> {
        self.table.as_ref()
    }
}

impl std::ops::Deref for TrainedWeights {
    type Target = [TrainedWeight];

    fn deref(&self) -> &[TrainedWeight] {
        &self.weights
    }
}

impl AddressTable {
    fn new(gpu: Gpu, weights: &[TrainedWeight]) -> Result<Self> {
        let device = weights[0].weight.device();
        let mut rows = Vec::new();
        let mut pieces = Vec::new();
        for (index, weight) in weights.iter().enumerate() {
            if !weight.weight.device().same_device(device) {
                bail!("weights in training lie on {device:?} and on {:?}", weight.weight.device())
            }
            rows.extend(weight.row(gpu)?);
            let of_weight = 0..weight.weight.elem_count().div_ceil(PIECE);
            pieces.extend(of_weight.flat_map(|piece| [index as u32, piece as u32]));
        }
        Ok(AddressTable {
            gpu,
            weights: Tensor::from_vec(rows, (weights.len(), 7), device)?,
            pieces: Tensor::from_slice(&pieces, (pieces.len() / 2, 2), device)?,
        })
    }

    /// Number of pieces of all weights.
    pub fn pieces(&self) -> Result<usize> {
        self.pieces.dim(0)
    }

    /// Runs `kernel` with a block a piece; weights and pieces come after `first` among its arguments.
    pub fn launch(&self, kernel: &str, first: Option<&Tensor>, rest: &[Arg<'_>]) -> Result<()> {
        let mut arguments: Vec<Arg<'_>> = first.into_iter().map(Arg::from).collect();
        arguments.extend([Arg::from(&self.weights), Arg::from(&self.pieces)]);
        arguments.extend(rest);
        self.gpu.launch(kernel, Grid::of(self.pieces()?, 256), &arguments)
    }

    pub fn device(&self) -> &candle_core::Device {
        self.weights.device()
    }
}
