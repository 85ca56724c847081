//! Peak memory of a stage by part. On a GPU, of the process's own tensors: what the driver takes for
//! itself and the kernels, some hundred MiB, is not counted.

use serde::{Deserialize, Serialize};

use super::Stage;
use crate::backend::compute::{DeviceSpec, Dtype};
use crate::backend::log_prob::{chunk_rows, gpu_chunk_rows, gpu_logit_bytes};
use crate::batch::keep;
use crate::kinds::Scored;
use crate::kinds::facts::Rollouts;
use crate::model::activation_memory::{ActivationMemory, PassRows};
use crate::model::decoder::Keep;

/// Bytes of a gradient, a moment, a master weight and a logit.
pub(super) const FLOAT: u64 = 4;
/// Bytes that matrix products on a GPU may write to.
const WORKSPACE: u64 = 32 << 20;

/// Peak memory by part, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryEstimate {
    /// With the copies that training needs: float32 masters of bf16 weights, LoRA merged in.
    pub weights: u64,
    pub gradients: u64,
    /// AdamW's two moments.
    pub optimiser: u64,
    /// What is held at the peak beside everything else. If there are no logits at the peak, their size is
    /// taken off.
    pub activations: u64,
    pub logits: u64,
    /// Keys and values of responses that are being written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache: u64,
    /// What matrix products on a GPU need.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub workspace: u64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl MemoryEstimate {
    pub fn total(&self) -> u64 {
        let model = [self.weights, self.gradients, self.optimiser];
        let pass = [self.activations, self.logits, self.cache, self.workspace];
        model.into_iter().chain(pass).fold(0, u64::saturating_add)
    }
}

impl Stage<'_> {
    pub fn memory(&self) -> MemoryEstimate {
        let trainable = self.trainable();
        let logits = self.logits();
        let cached = self.facts.rollouts.map_or(0, |rollouts| {
            let longest = self.counts.longest_example + rollouts.response_length as u64;
            let model = self.model;
            let of_token = (model.num_hidden_layers * 2 * model.key_width()) as u64;
            self.answered_at_once(rollouts).saturating_mul(longest).saturating_mul(of_token)
        });
        MemoryEstimate {
            weights: self.held(),
            gradients: FLOAT.saturating_mul(trainable),
            optimiser: (2 * FLOAT).saturating_mul(trainable),
            activations: self.fullest_pass(logits).saturating_sub(logits),
            logits,
            cache: self.dtype.bytes().saturating_mul(cached),
            workspace: if self.device == DeviceSpec::Cpu { 0 } else { WORKSPACE },
        }
    }

    /// Policy and value model of ppo go through their passes one after the other.
    fn fullest_pass(&self, logits: u64) -> u64 {
        let drops = self.facts.rollouts.is_none() && self.training.tuner.dropout() > 0.0;
        let activations = ActivationMemory { config: self.model, dtype: self.dtype, drops, logits };
        let training = activations.pass(self.rows(self.in_training()), keep(self.recomputes()));
        let asking = activations.pass(self.rows(self.in_asking()), Keep::Nothing);
        training.max(asking)
    }

    fn recomputes(&self) -> bool {
        self.training.gradient_checkpointing
    }

    /// Logits that exist at once, with their gradients where those do not take their place, bytes.
    fn logits(&self) -> u64 {
        let vocabulary = self.model.vocab_size;
        let scored = match self.facts.scored {
            Scored::Nothing => return 0,
            _ => self.rows(self.in_training().max(self.in_asking())).scored,
        };
        let (rows, bytes) = match self.device {
            DeviceSpec::Cpu => (chunk_rows(vocabulary), FLOAT),
            DeviceSpec::Cuda(_) => {
                let dtype = self.dtype.into();
                (gpu_chunk_rows(vocabulary, dtype), gpu_logit_bytes(dtype) as u64)
            }
        };
        let answered = self.facts.rollouts.map_or(0, |rollouts| self.answered_at_once(rollouts));
        (bytes * scored.min(rows as u64)).max(FLOAT * answered).saturating_mul(vocabulary as u64)
    }

    /// Rows of an optimiser step, or of an update of ppo.
    fn rows_a_window(&self) -> u64 {
        self.training.batches.rows_in_window() as u64
    }

    /// Prompts that ppo answers at a time.
    fn answered_at_once(&self, rollouts: Rollouts) -> u64 {
        self.rows_a_window().min(rollouts.at_once as u64)
    }

    fn response(&self) -> u64 {
        self.facts.rollouts.map_or(0, |rollouts| rollouts.response_length as u64)
    }

    /// `tokens`, but no more than the engine's budget, and no fewer than those of the longest row.
    fn at_once(&self, tokens: u64) -> u64 {
        tokens.min(self.batches.token_budget as u64).max(self.counts.longest_example + self.response())
    }

    /// Tokens that go through the model at once to be trained on: at most those of a step. The responses
    /// of an update of ppo are scored at once, and trained on in mini-batches.
    fn in_training(&self) -> u64 {
        let rows = self.rows_a_window().min(self.counts.train.rows);
        self.at_once(self.counts.largest_window.saturating_add(rows.saturating_mul(self.response())))
    }

    /// Tokens that go through the model at once without training: held-out rows, or rows for a reference.
    fn in_asking(&self) -> u64 {
        let reference = if self.stores_reference() { self.counts.train.shared } else { 0 };
        let held_out = self.answered(&self.counts.held_out, self.response());
        self.at_once(held_out.shared.max(reference))
    }

    /// The rows of a pass over `tokens`, whose kinds are as common as among the training rows.
    fn rows(&self, tokens: u64) -> PassRows {
        let train = match self.facts.rollouts {
            Some(rollouts) => self.answered(&self.counts.train, rollouts.response_length as u64),
            None => self.counts.train,
        };
        let share = |some: u64| {
            let share = (u128::from(tokens) * u128::from(some)).div_ceil(u128::from(train.shared.max(1)));
            u64::try_from(share).unwrap_or(u64::MAX).min(tokens)
        };
        let (needed, scored) = match self.facts.scored {
            // Only the ends of both answers are scored.
            Scored::Nothing => (share(2 * train.rows), 0),
            _ => (share(self.scored(&train)), share(self.scored(&train))),
        };
        PassRows { tokens, needed, scored }
    }

    /// Bytes of a weight that is trained: a value, and the master of one in bf16.
    pub(super) fn trained_weight(&self) -> u64 {
        match self.dtype {
            Dtype::F32 => FLOAT,
            Dtype::Bf16 => self.dtype.bytes() + FLOAT,
        }
    }
}
