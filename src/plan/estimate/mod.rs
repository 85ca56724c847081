//! How much memory and how many operations a stage takes. Of a ppo stage, whose responses are not there
//! yet, with responses of full length: an upper bound.

mod memory;
pub mod passes;
mod weights;

use serde::{Deserialize, Serialize};

pub use self::memory::MemoryEstimate;
use crate::backend::compute::{DeviceSpec, Dtype};
use crate::batch::{BatchPolicy, Steps};
use crate::kinds::Facts;
use crate::kinds::facts::Rollouts;
use crate::model::artifact::Artifact;
use crate::model::config::Config;
use crate::plan::counts::{Counts, TokenCounts};
use crate::train::TrainingSettings;

/// Operations per second and core, where nothing was measured yet.
const ASSUMED_PER_CORE: f64 = 40e9;
/// Operations per second of a GPU, in bf16 and float32, where nothing was measured yet.
const ASSUMED_BF16: f64 = 300e12;
const ASSUMED_F32: f64 = 30e12;

/// Operations (a multiplication and an addition count as two), and how long they may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// All optimiser steps, and for ppo the responses that they train on.
    pub training: f64,
    /// The reference's log-probs, once per row.
    pub reference: f64,
    /// All evaluations on held-out rows.
    pub evaluation: f64,
    pub flops_per_second: f64,
    /// Whether that rate was measured on an earlier run of the stage, or assumed.
    pub measured: bool,
}

impl Work {
    pub fn total(&self) -> f64 {
        self.training + self.reference + self.evaluation
    }

    pub fn seconds(&self) -> f64 {
        self.total() / self.flops_per_second
    }
}

/// What the cost of a stage depends on.
pub struct Stage<'a> {
    pub facts: &'a Facts<'a>,
    pub training: &'a TrainingSettings,
    pub model: &'a Config,
    pub device: DeviceSpec,
    pub dtype: Dtype,
    pub batches: BatchPolicy,
    pub policy: &'a Artifact,
    pub reference: Option<&'a Artifact>,
    pub reward: Option<&'a Artifact>,
    pub counts: &'a Counts,
    pub steps: Steps,
}

impl Stage<'_> {
    /// `measured`: operations per second of an earlier run of the stage.
    pub fn work(&self, measured: Option<f64>) -> Work {
        let Counts { train, held_out, .. } = self.counts;
        let forward = |tokens: &TokenCounts| self.operations(tokens).forward();
        let (epoch, evaluation) = match self.facts.rollouts {
            Some(rollouts) => {
                let answered = |prompts| self.answered(prompts, rollouts.response_length as u64);
                (self.ppo_epoch(rollouts, &answered(train)), self.judged(&answered(held_out)))
            }
            None => (self.train_pass(train, self.operations(train)), forward(held_out)),
        };
        let reference = match self.stores_reference() {
            true => forward(train) + forward(held_out),
            false => 0.0,
        };
        let every = self.training.eval_steps.unwrap_or(self.steps.total).max(1);
        let evaluations = 1.0 + self.steps.total.div_ceil(every) as f64;
        Work {
            training: self.steps.epochs * epoch,
            reference,
            evaluation: evaluations * evaluation,
            flops_per_second: measured.unwrap_or_else(|| self.assumed_rate()),
            measured: measured.is_some(),
        }
    }

    /// Whether a reference's log-probs of all rows are computed beforehand.
    fn stores_reference(&self) -> bool {
        self.facts.has_reference && self.facts.rollouts.is_none()
    }

    /// Operations per second.
    fn assumed_rate(&self) -> f64 {
        match (self.device, self.dtype) {
            (DeviceSpec::Cpu, _) => {
                let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
                ASSUMED_PER_CORE * cores as f64
            }
            (DeviceSpec::Cuda(_), Dtype::Bf16) => ASSUMED_BF16,
            (DeviceSpec::Cuda(_), Dtype::F32) => ASSUMED_F32,
        }
    }

    /// Writing responses, their log-probs under policy and reference, and scoring them.
    fn judged(&self, answered: &TokenCounts) -> f64 {
        3.0 * self.operations(answered).forward() + self.operations(answered).without_head().forward()
    }

    /// An epoch of ppo: every prompt answered once, the responses judged, valued and trained on.
    fn ppo_epoch(&self, rollouts: Rollouts, answered: &TokenCounts) -> f64 {
        let values = self.operations(answered).without_head();
        let rollout = self.judged(answered) + values.forward();
        let policy = self.train_pass(answered, self.operations(answered));
        rollout + rollouts.passes as f64 * (policy + self.train_pass(answered, values))
    }
}
