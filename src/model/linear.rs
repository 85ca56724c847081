//! A linear map `y = x Wᵀ + b`, several checkpoint modules side by side in one product, with or
//! without LoRA. Source of LoRA: 2106.09685; of rsLoRA: 2312.03732.
//!
//! With float32 weights and without dropout, `W + s·B·A` is made once an optimiser step and used in both
//! directions: the products of a token then cost what they cost without LoRA. With bf16 weights, which
//! models on one base share, or with dropout, the two terms stay apart.

use std::ops::Range;

use anyhow::Result;
use candle_core::{DType, Tensor};

use super::param::Param;
use crate::backend::Compute;
use crate::backend::dropout::dropout;
use crate::backend::matmul::{add_bias, add_column_sums, matmul, matmul_into};
use crate::backend::profile;
use crate::backend::residual::add_into;
use crate::backend::row_product::row_product;
use crate::backend::storage::copy_into;
use crate::random::Stream;

/// One module of the checkpoint, e.g. `model.layers.0.self_attn.k_proj`, and its rows of the weight.
#[derive(Debug, Clone)]
pub struct ModuleRows {
    pub module: String,
    pub rows: Range<usize>,
}

/// Low-rank matrices of one part.
#[derive(Debug, Clone)]
pub struct LoraPart {
    /// Index into the linear's parts.
    pub part: usize,
    /// Rows of the joint A that are this part's.
    pub ranks: Range<usize>,
    /// `[part's rows, rank]`.
    pub b: Param,
    pub alpha: f64,
    /// What `B·A` is multiplied with: α / r, or α / √r.
    pub scale: f64,
}

/// Matrices that LoRA of one part is made of.
#[derive(Debug, Clone)]
pub struct Matrices {
    /// Index into the linear's parts.
    pub part: usize,
    /// `[rank, in]`.
    pub a: Tensor,
    /// `[part's rows, rank]`.
    pub b: Tensor,
    pub alpha: f64,
    /// What `B·A` is multiplied with.
    pub scale: f64,
}

/// LoRA of a linear: the A matrices of its adapted parts on top of each other.
#[derive(Debug, Clone)]
pub struct Lora {
    /// `[Σ rank, in]`.
    pub a: Param,
    pub parts: Vec<LoraPart>,
    pub dropout: f64,
    /// `W + s·B·A`, `[out, in]`; not with bf16 weights, whose rounding would swallow a small `s·B·A`.
    pub merged: Option<Tensor>,
}

/// What makes a dropout mask: a stream for the step, and one key per row that does not depend on packing.
#[derive(Clone, Copy)]
pub struct DropoutKeys<'a> {
    pub stream: Stream,
    pub rows: &'a [u64],
}

/// How rows are multiplied where nothing is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Product {
    /// Fast for many rows; a row's bits depend on how many there are.
    Together,
    /// Fast for a few rows; a row's bits depend on that row alone.
    RowByRow,
}

#[derive(Debug, Clone)]
pub struct Linear {
    /// `[out, in]`.
    pub weight: Param,
    /// `[out]`.
    pub bias: Option<Param>,
    pub parts: Vec<ModuleRows>,
    pub lora: Option<Lora>,
}

impl Linear {
    /// Adds LoRA to the parts that `matrices` are for.
    pub fn add_lora(&mut self, matrices: Vec<Matrices>, dropout: f64, train: bool) -> Result<()> {
        if matrices.is_empty() {
            return Ok(());
        }
        let compute = Compute::of(&self.weight.value);
        let a: Vec<&Tensor> = matrices.iter().map(|of_part| &of_part.a).collect();
        let a = Param::at(&compute, Tensor::cat(&a, 0)?.contiguous()?, train)?;
        let mut parts = Vec::new();
        let mut first = 0;
        for Matrices { part, a, b, alpha, scale } in matrices {
            let rank = a.dim(0)?;
            let b = Param::at(&compute, b.contiguous()?, train)?;
            parts.push(LoraPart { part, ranks: first..first + rank, b, alpha, scale });
            first += rank;
        }
        let merged = (compute.dtype == DType::F32).then(|| self.weight.value.copy()).transpose()?;
        self.lora = Some(Lora { a, parts, dropout, merged });
        self.refresh()
    }

    /// Makes `W + s·B·A` again, after A or B changed.
    pub fn refresh(&self) -> Result<()> {
        match self.lora.as_ref().and_then(|lora| Some((lora, lora.merged.as_ref()?))) {
            Some((lora, merged)) => self.merge_into(lora, merged),
            None => Ok(()),
        }
    }

    fn merge_into(&self, lora: &Lora, merged: &Tensor) -> Result<()> {
        copy_into(merged, &self.weight.value)?;
        for part in &lora.parts {
            let rows = &self.parts[part.part].rows;
            let target = merged.narrow(0, rows.start, rows.len())?;
            matmul_into(&target, &part.b.value, &lora.a_of(&lora.a.value, part)?, part.scale, true)?;
        }
        Ok(())
    }

    /// The weight that one dense product needs: merged with LoRA if there is one.
    pub fn merged(&self) -> Result<Tensor> {
        match &self.lora {
            None => Ok(self.weight.value.clone()),
            Some(Lora { merged: Some(merged), .. }) => Ok(merged.clone()),
            Some(lora) => {
                let merged = self.weight.value.copy()?;
                self.merge_into(lora, &merged)?;
                Ok(merged)
            }
        }
    }

    /// [`Linear::merged`] in float32, which shares nothing: bf16 would round a small `s·B·A` away.
    pub fn merged_full(&self) -> Result<Tensor> {
        let value = &self.weight.value;
        let full = Tensor::zeros(value.shape(), DType::F32, value.device())?;
        match &self.lora {
            None => copy_into(&full, value)?,
            Some(lora) => self.merge_into(lora, &full)?,
        }
        Ok(full)
    }

    fn keys<'a>(&self, dropout: Option<DropoutKeys<'a>>) -> Option<(&Lora, DropoutKeys<'a>)> {
        let lora = self.lora.as_ref().filter(|lora| lora.dropout > 0.0)?;
        dropout.map(|d| (lora, DropoutKeys { stream: d.stream.name(&self.parts[0].module), rows: d.rows }))
    }

    /// The weight of the large product, and the LoRA that is multiplied apart from it, with the keys of
    /// its dropout.
    fn split<'a>(
        &self,
        dropout: Option<DropoutKeys<'a>>,
    ) -> (&Tensor, Option<(&Lora, Option<DropoutKeys<'a>>)>) {
        let keys = self.keys(dropout).map(|(_, keys)| keys);
        match &self.lora {
            Some(Lora { merged: Some(merged), .. }) if keys.is_none() => (merged, None),
            lora => (&self.weight.value, lora.as_ref().map(|lora| (lora, keys))),
        }
    }

    /// x `[rows, in]` → `[rows, out]`.
    pub fn forward(&self, x: &Tensor, dropout: Option<DropoutKeys<'_>>) -> Result<Tensor> {
        profile::time(profile::Op::Linear, || {
            let (weight, apart) = self.split(dropout);
            self.finish(matmul(x, &weight.t()?)?, x, apart)
        })
    }

    /// Adds to `y` what the large product leaves out.
    fn finish(
        &self,
        y: Tensor,
        x: &Tensor,
        apart: Option<(&Lora, Option<DropoutKeys<'_>>)>,
    ) -> Result<Tensor> {
        if let Some((lora, keys)) = apart {
            let low = matmul(&lora.drop(x, keys)?, &lora.a.value.t()?)?;
            for part in &lora.parts {
                let rows = &self.parts[part.part].rows;
                let target = y.narrow(1, rows.start, rows.len())?;
                matmul_into(&target, &lora.columns(&low, part)?, &part.b.value.t()?, part.scale, true)?;
            }
        }
        if let Some(bias) = &self.bias {
            add_bias(&y, &bias.value)?;
        }
        Ok(y)
    }

    /// `forward` without dropout, by the kernel asked for.
    pub fn forward_by(&self, x: &Tensor, product: Product) -> Result<Tensor> {
        if product == Product::Together {
            return self.forward(x, None);
        }
        profile::time(profile::Op::Linear, || {
            let (weight, apart) = self.split(None);
            self.finish(row_product(x, weight)?, x, apart)
        })
    }

    /// Adds the gradients of what is trained; returns dx `[rows, in]` if it is wanted.
    /// x and `dropout` as `forward` had them, dy `[rows, out]`.
    pub fn backward(
        &self,
        x: &Tensor,
        dy: &Tensor,
        dropout: Option<DropoutKeys<'_>>,
        want_dx: bool,
    ) -> Result<Option<Tensor>> {
        profile::time(profile::Op::Linear, || self.add_gradients(x, dy, dropout, want_dx))
    }

    fn add_gradients(
        &self,
        x: &Tensor,
        dy: &Tensor,
        dropout: Option<DropoutKeys<'_>>,
        want_dx: bool,
    ) -> Result<Option<Tensor>> {
        if let Some(grad) = &self.weight.grad {
            matmul_into(grad, &dy.t()?, x, 1.0, true)?;
        }
        if let Some(grad) = self.bias.as_ref().and_then(|b| b.grad.as_ref()) {
            add_column_sums(grad, dy)?;
        }
        let Some(lora) = &self.lora else {
            return want_dx.then(|| Ok(matmul(dy, &self.weight.value)?)).transpose();
        };
        let (weight, apart) = self.split(dropout);
        let keys = apart.and_then(|(_, keys)| keys);
        let d_low = self.lora_backward(lora, &lora.drop(x, keys)?, dy)?;
        if !want_dx {
            return Ok(None);
        }
        let dx = matmul(dy, weight)?;
        match (apart, keys) {
            (None, _) => {}
            (Some(_), None) => matmul_into(&dx, &d_low, &lora.a.value, 1.0, true)?,
            (Some(_), Some(_)) => add_into(&dx, &lora.drop(&matmul(&d_low, &lora.a.value)?, keys)?)?,
        }
        Ok(Some(dx))
    }

    /// Adds the gradients of A and B; returns the gradient of `x Aᵀ`, `[rows, Σ rank]`.
    fn lora_backward(&self, lora: &Lora, x: &Tensor, dy: &Tensor) -> Result<Tensor> {
        let low = matmul(x, &lora.a.value.t()?)?;
        let d_low = low.zeros_like()?;
        for part in &lora.parts {
            let rows = &self.parts[part.part].rows;
            let dy = dy.narrow(1, rows.start, rows.len())?;
            matmul_into(&lora.columns(&d_low, part)?, &dy, &part.b.value, part.scale, false)?;
            if let Some(grad) = &part.b.grad {
                matmul_into(grad, &dy.t()?, &lora.columns(&low, part)?, part.scale, true)?;
            }
        }
        if let Some(grad) = &lora.a.grad {
            matmul_into(grad, &d_low.t()?, x, 1.0, true)?;
        }
        Ok(d_low)
    }
}

impl Lora {
    /// Whether it adds nothing yet: every B is zero.
    pub fn is_unchanged(&self) -> Result<bool> {
        let mut sum = 0.0;
        for part in &self.parts {
            sum += part.b.full().abs()?.sum_all()?.to_scalar::<f32>()?;
        }
        Ok(sum == 0.0)
    }

    fn columns(&self, low: &Tensor, part: &LoraPart) -> Result<Tensor> {
        Ok(low.narrow(1, part.ranks.start, part.ranks.len())?)
    }

    /// The rows of `a`, the joint A or its master, that are one part's, `[rank, in]`.
    pub fn a_of(&self, a: &Tensor, part: &LoraPart) -> Result<Tensor> {
        Ok(a.narrow(0, part.ranks.start, part.ranks.len())?)
    }

    /// x with dropout, if there are keys.
    fn drop(&self, x: &Tensor, keys: Option<DropoutKeys<'_>>) -> Result<Tensor> {
        Ok(match keys {
            Some(keys) => dropout(x, self.dropout, keys.stream, keys.rows)?,
            None => x.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::gpu::trial;

    #[test]
    fn a_merged_adapter_keeps_in_full_what_bf16_would_round_away() {
        trial::each(|trial| {
            let (weight, a, b) = (trial.random(6, 9), trial.random(2, 9), trial.random(6, 2));
            let parts = vec![ModuleRows { module: "m".into(), rows: 0..6 }];
            let weight_of = |value: &Tensor| Param::frozen(value.clone());
            let mut linear = Linear { weight: weight_of(&weight.gpu), bias: None, parts, lora: None };
            trial.within(&linear.merged_full().unwrap(), &weight.cpu, 0.0);
            let (a, b) = (a.cpu, b.cpu);
            let want = (&weight.cpu + (b.matmul(&a).unwrap() * 1e-3).unwrap()).unwrap();
            let here = |t: &Tensor| t.to_device(&trial.device).unwrap();
            let matrices = Matrices { part: 0, a: here(&a), b: here(&b), alpha: 2e-3, scale: 1e-3 };
            linear.add_lora(vec![matrices], 0.0, true).unwrap();
            let full = linear.merged_full().unwrap();
            trial.within(&full, &want, 1e-6);
            assert_eq!((full.dtype(), linear.merged().unwrap().dtype()), (DType::F32, trial.dtype));
        });
    }
}
