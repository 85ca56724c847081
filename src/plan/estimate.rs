//! How much memory and how many operations a stage takes, by counting matrix products. Norms,
//! activation functions and the like are left out: they are a few per cent.

use serde::{Deserialize, Serialize};

use crate::plan::counts::{Counts, Tokens};
use crate::plan::settings::{KindSettings, TrainingSettings};
use crate::plan::shape::Shape;
use crate::plan::steps::Steps;

/// Bytes of a number: everything is float32 on the CPU.
const FLOAT: u64 = 4;
/// Operations a second and core, where nothing was measured yet.
const ASSUMED_PER_CORE: f64 = 40e9;

/// Peak memory by part, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    pub weights: u64,
    pub gradients: u64,
    /// AdamW's two moments.
    pub optimiser: u64,
    pub activations: u64,
    pub logits: u64,
}

impl Memory {
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimiser + self.activations + self.logits
    }
}

/// Operations (a multiplication and an addition count as two), and how long they may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// All optimiser steps.
    pub training: f64,
    /// The reference's log-probs, once a row.
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

/// A stage, as far as its cost depends on it.
pub struct Stage<'a> {
    pub kind: &'a KindSettings,
    pub training: &'a TrainingSettings,
    pub shape: &'a Shape,
    pub counts: &'a Counts,
    pub steps: Steps,
}

impl Stage<'_> {
    /// Weights that are trained.
    pub fn trainable(&self) -> u64 {
        match &self.training.lora {
            Some(lora) => self.shape.lora_parameters(lora),
            None => self.shape.parameters(),
        }
    }

    pub fn memory(&self) -> Memory {
        let shape = self.shape;
        let trainable = self.trainable();
        let adapter = if self.training.lora.is_some() { trainable } else { 0 };
        // One micro-batch of the longest families is in flight.
        let tokens = self.counts.longest_family * self.training.batch_size as u64;
        let layers = if self.training.gradient_checkpointing {
            shape.layers * shape.hidden + shape.saved_per_token()
        } else {
            shape.layers * shape.saved_per_token()
        };
        Memory {
            weights: FLOAT * (shape.parameters() + adapter),
            gradients: FLOAT * trainable,
            optimiser: 2 * FLOAT * trainable,
            activations: FLOAT * tokens * (layers + 2 * shape.hidden),
            logits: FLOAT * shape.head_chunk(),
        }
    }

    pub fn work(&self, measured: Option<f64>) -> Work {
        let Counts { train, held_out, .. } = self.counts;
        let reference = match self.kind {
            KindSettings::Dpo(_) => 1.0,
            KindSettings::Sft => 0.0,
        };
        let every = self.training.eval_steps.map_or(self.steps.total, |every| every.max(1)).max(1);
        let evaluations = 1.0 + self.steps.total.div_ceil(every) as f64;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Work {
            training: self.steps.epochs * self.train_pass(train),
            reference: reference * (self.shape.forward(train) + self.shape.forward(held_out)),
            evaluation: evaluations * self.shape.forward(held_out),
            flops_per_second: measured.unwrap_or(ASSUMED_PER_CORE * cores as f64),
            measured: measured.is_some(),
        }
    }

    /// Forward and backward over all rows once.
    fn train_pass(&self, tokens: &Tokens) -> f64 {
        let shape = self.shape;
        let trunk = 2.0 * shape.trunk_parameters() as f64 * tokens.shared as f64;
        let attention = shape.attention(tokens);
        let head = 2.0 * shape.head_parameters() as f64 * tokens.trained as f64;
        let recomputed = if self.training.gradient_checkpointing { trunk + attention } else { 0.0 };
        // Backward needs two products for each of attention's two, and its scores once more.
        let attention = 3.5 * attention;
        match &self.training.lora {
            // Frozen weights have no gradient of their own; the head's direction comes from one pass.
            Some(lora) => {
                let adapter = 6.0 * shape.lora_parameters(lora) as f64 * tokens.shared as f64;
                2.0 * trunk + adapter + attention + 2.0 * head + recomputed
            }
            None => 3.0 * trunk + attention + 4.0 * head + recomputed,
        }
    }
}
