//! AdamW (1711.05101) over a stage: its settings, the moments of every trained weight, and their checkpoint.
//! What a step does to a weight is `backend::adamw`'s.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use candle_core::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::backend::adamw::{AdamWStep, adamw};
use crate::backend::global_norm::{GlobalNorm, global_norm};
use crate::backend::trained_weights::{TrainedWeight, TrainedWeights};
use crate::model::param::Trained;

/// Keys of a stage; names and defaults are those of Hugging Face's trainer.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AdamWSettings {
    /// AdamW's decoupled decay; norms and biases have none.
    #[schemars(range(min = 0.0))]
    pub weight_decay: f64,
    /// AdamW's decay of the first moment.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub adam_beta1: f64,
    /// AdamW's decay of the second moment.
    #[schemars(range(min = 0.0), extend("exclusiveMaximum" = 1))]
    pub adam_beta2: f64,
    /// AdamW's guard against division by zero.
    #[schemars(extend("exclusiveMinimum" = 0))]
    pub adam_epsilon: f64,
    /// Gradients with a larger global norm are scaled down to it; 0 turns this off. Of ppo, those of policy
    /// and value model together, which TRL does not clip.
    #[schemars(range(min = 0.0))]
    pub max_grad_norm: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        AdamWSettings {
            weight_decay: 0.0,
            adam_beta1: 0.9,
            adam_beta2: 0.999,
            adam_epsilon: 1e-8,
            max_grad_norm: 1.0,
        }
    }
}

/// The trained weights, their gradients, and their first and second moments, float32.
pub struct AdamW {
    settings: AdamWSettings,
    names: Vec<String>,
    weights: TrainedWeights,
    steps: u64,
}

impl AdamW {
    pub fn new(settings: AdamWSettings, trained: Vec<Trained<'_>>) -> Result<Self> {
        let weights = trained.iter().map(|trained| {
            Ok(TrainedWeight {
                weight: trained.optimised().clone(),
                copy: trained.master.map(|_| trained.value.clone()),
                grad: trained.grad.clone(),
                m: trained.grad.zeros_like()?,
                v: trained.grad.zeros_like()?,
                decays: trained.decay,
            })
        });
        let weights = TrainedWeights::new(weights.collect::<Result<_>>()?)?;
        let names = trained.into_iter().map(|trained| trained.name).collect();
        Ok(AdamW { settings, names, weights, steps: 0 })
    }

    /// One step: gradients are clipped, used and set to zero. Returns their norm before that.
    pub fn step(&mut self, rate: f64) -> Result<GlobalNorm> {
        self.steps += 1;
        let s = self.settings;
        let correction1 = 1.0 - s.adam_beta1.powf(self.steps as f64);
        let correction2 = (1.0 - s.adam_beta2.powf(self.steps as f64)).sqrt();
        let step = AdamWStep {
            keep1: (1.0 - s.adam_beta1) as f32,
            beta2: s.adam_beta2 as f32,
            keep2: (1.0 - s.adam_beta2) as f32,
            step_size: (rate / correction1) as f32,
            root: correction2 as f32,
            epsilon: s.adam_epsilon as f32,
            decay: (1.0 - rate * s.weight_decay) as f32,
        };
        let norm = global_norm(&self.weights)?;
        adamw(&self.weights, step, &norm, s.max_grad_norm)?;
        Ok(norm)
    }

    /// What a checkpoint keeps: names and tensors of a weight.
    fn kept<'a>(name: &str, weight: &'a TrainedWeight) -> [(String, &'a Tensor); 3] {
        [("value", &weight.weight), ("m", &weight.m), ("v", &weight.v)]
            .map(|(what, tensor)| (format!("{what}.{name}"), tensor))
    }

    /// Weights (in float32) and moments by name, for a checkpoint.
    pub fn state(&self) -> BTreeMap<String, Tensor> {
        let each = self.names.iter().zip(self.weights.iter());
        each.flat_map(|(name, weight)| Self::kept(name, weight))
            .map(|(name, tensor)| (name, tensor.clone()))
            .collect()
    }

    /// Continues from what `state` gave after `steps` steps.
    pub fn restore(&mut self, steps: u64, get: impl Fn(&str) -> Result<Tensor>) -> Result<()> {
        for (name, weight) in self.names.iter().zip(self.weights.iter()) {
            for (name, target) in Self::kept(name, weight) {
                let saved = get(&name)?;
                if saved.dims() != target.dims() {
                    bail!("`{name}` of the checkpoint is {:?}, expected {:?}", saved.dims(), target.dims())
                }
                let restored = saved.to_device(target.device()).and_then(|s| target.slice_set(&s, 0, 0));
                restored.with_context(|| format!("restoring `{name}`"))?;
            }
            weight.refresh_copy()?;
        }
        self.steps = steps;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::gpu::trial;
    use crate::model::param::Param;
    use candle_core::DType;

    fn settings() -> AdamWSettings {
        AdamWSettings { adam_beta2: 0.99, weight_decay: 0.1, ..AdamWSettings::default() }
    }

    fn trained(param: &Param) -> Vec<Trained<'_>> {
        let Param { value, grad, master } = param;
        let grad = grad.as_ref().unwrap();
        vec![Trained { name: "w".into(), value, master: master.as_ref(), grad, decay: true }]
    }

    #[test]
    fn a_restored_optimiser_goes_on_where_the_first_one_was() {
        trial::each(|trial| {
            let start = trial.random(5, 7).gpu;
            let steps = [(); 3].map(|()| trial.random(5, 7).cpu);
            let step = |param: &Param, optimizer: &mut AdamW, grad: &Tensor| {
                param.grad.as_ref().unwrap().slice_set(&trial.put(grad), 0, 0).unwrap();
                optimizer.step(0.01).unwrap();
            };
            let first = Param::trained(start.copy().unwrap()).unwrap();
            let mut optimizer = AdamW::new(settings(), trained(&first)).unwrap();
            step(&first, &mut optimizer, &steps[0]);
            step(&first, &mut optimizer, &steps[1]);
            let saved: BTreeMap<String, Tensor> =
                optimizer.state().into_iter().map(|(name, t)| (name, t.copy().unwrap())).collect();
            assert_eq!(saved.keys().collect::<Vec<_>>(), ["m.w", "v.w", "value.w"]);
            assert!(saved.values().all(|t| t.dtype() == DType::F32));
            step(&first, &mut optimizer, &steps[2]);

            let second = Param::trained(start.copy().unwrap()).unwrap();
            let mut optimizer = AdamW::new(settings(), trained(&second)).unwrap();
            optimizer.restore(2, |name| Ok(saved[name].clone())).unwrap();
            step(&second, &mut optimizer, &steps[2]);
            trial.within(&second.value, &first.value.to_device(&candle_core::Device::Cpu).unwrap(), 0.0);
            assert_eq!(second.master.is_some(), trial.dtype == DType::BF16);
        });
    }
}
