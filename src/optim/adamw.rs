//! AdamW (1711.05101), decoupled decay, bias-corrected, as torch's: one pass over each weight.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use rayon::prelude::*;

use crate::backend::lanes::wide;
use crate::backend::storage::{copy_into, update};
use crate::model::param::Trained;

const BLOCK: usize = 1 << 14;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    pub beta1: f64,
    pub beta2: f64,
    pub epsilon: f64,
    pub weight_decay: f64,
}

/// First and second moments of every trained weight, float32.
pub struct AdamW {
    settings: AdamWSettings,
    moments: Vec<(Tensor, Tensor)>,
    steps: u64,
}

impl AdamW {
    pub fn new(settings: AdamWSettings, trained: &[Trained<'_>]) -> Result<Self> {
        let moments = trained
            .iter()
            .map(|w| Ok((w.grad.zeros_like()?, w.grad.zeros_like()?)))
            .collect::<Result<_>>()?;
        Ok(AdamW { settings, moments, steps: 0 })
    }

    /// One step: gradients are scaled by `grad_scale` (clipping), used and set to zero.
    pub fn step(&mut self, trained: &[Trained<'_>], rate: f64, grad_scale: f64) -> Result<()> {
        self.steps += 1;
        let s = self.settings;
        let correction1 = 1.0 - s.beta1.powf(self.steps as f64);
        let correction2 = (1.0 - s.beta2.powf(self.steps as f64)).sqrt();
        let (keep1, keep2) = ((1.0 - s.beta1) as f32, (1.0 - s.beta2) as f32);
        let b2 = s.beta2 as f32;
        let (scale, epsilon) = (grad_scale as f32, s.epsilon as f32);
        let (step_size, root) = ((rate / correction1) as f32, correction2 as f32);
        for (weight, (m, v)) in trained.iter().zip(&self.moments) {
            let decay = if weight.decay { (1.0 - rate * s.weight_decay) as f32 } else { 1.0 };
            update(weight.value, |value| {
                update(weight.grad, |grad| {
                    update(m, |m| {
                        update(v, |v| {
                            let rows = value.par_chunks_mut(BLOCK).zip(grad.par_chunks_mut(BLOCK));
                            let moments = m.par_chunks_mut(BLOCK).zip(v.par_chunks_mut(BLOCK));
                            rows.zip(moments).for_each(|((value, grad), (m, v))| {
                                wide(
                                    #[inline(always)]
                                    || {
                                        for i in 0..value.len() {
                                            let g = grad[i] * scale;
                                            m[i] += keep1 * (g - m[i]);
                                            v[i] = b2 * v[i] + keep2 * g * g;
                                            let denominator = v[i].sqrt() / root + epsilon;
                                            value[i] = value[i] * decay - step_size * m[i] / denominator;
                                            grad[i] = 0.0;
                                        }
                                    },
                                )
                            });
                            Ok(())
                        })
                    })
                })
            })?;
        }
        Ok(())
    }

    /// Weights and moments by name, for a checkpoint.
    pub fn state(&self, trained: &[Trained<'_>]) -> BTreeMap<String, Tensor> {
        let entries = trained.iter().zip(&self.moments).flat_map(|(weight, (m, v))| {
            let entry = |what: &str, tensor: &Tensor| (format!("{what}.{}", weight.name), tensor.clone());
            [entry("value", weight.value), entry("m", m), entry("v", v)]
        });
        entries.collect()
    }

    /// Continues from what `state` gave after `steps` steps.
    pub fn restore(
        &mut self,
        trained: &[Trained<'_>],
        steps: u64,
        get: impl Fn(&str) -> Result<Tensor>,
    ) -> Result<()> {
        for (weight, (m, v)) in trained.iter().zip(&self.moments) {
            for (what, target) in [("value", weight.value), ("m", m), ("v", v)] {
                let name = format!("{what}.{}", weight.name);
                let saved = get(&name)?;
                if saved.dims() != target.dims() {
                    bail!("`{name}` of the checkpoint is {:?}, expected {:?}", saved.dims(), target.dims())
                }
                copy_into(target, &saved).with_context(|| format!("restoring `{name}`"))?;
            }
        }
        self.steps = steps;
        Ok(())
    }
}
