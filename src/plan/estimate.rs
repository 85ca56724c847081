//! How much memory and how many operations a stage takes, by counting matrix products. Norms,
//! activation functions and the like are left out: they are a few per cent.

use serde::{Deserialize, Serialize};

use crate::backend::log_prob::chunk_rows;
use crate::model::config::Config;
use crate::plan::counts::{Counts, Tokens};
use crate::plan::settings::{KindSettings, LoraSettings, TrainingSettings};
use crate::plan::steps::Steps;
use crate::stages::packaging::{Packaging, activation_elements};

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
    pub model: &'a Config,
    pub counts: &'a Counts,
    pub steps: Steps,
}

impl Stage<'_> {
    /// Weights that are trained.
    pub fn trainable(&self) -> u64 {
        match &self.training.lora {
            Some(lora) => lora_parameters(self.model, lora),
            None => self.model.parameters(),
        }
    }

    pub fn memory(&self) -> Memory {
        let model = self.model;
        let trainable = self.trainable();
        // LoRA keeps the layers' weights once more, with the adapter merged in.
        let adapter = if self.training.lora.is_some() { trainable + model.trunk_weights() } else { 0 };
        let checkpointing = self.training.gradient_checkpointing;
        let kept = activation_elements(model, checkpointing) as u64;
        Memory {
            weights: FLOAT * (model.parameters() + adapter),
            gradients: FLOAT * trainable,
            optimiser: 2 * FLOAT * trainable,
            activations: FLOAT * kept * self.tokens_in_flight(),
            logits: FLOAT * (chunk_rows(model.vocab_size) * model.vocab_size) as u64,
        }
    }

    /// Tokens that pass through the model at once: a step's rows, as far as the engine's budget goes.
    fn tokens_in_flight(&self) -> u64 {
        let Tokens { rows, shared, .. } = self.counts.train;
        let rows_a_step = (self.training.batch_size * self.training.gradient_accumulation_steps) as u64;
        let step = (shared / rows.max(1)).saturating_mul(rows_a_step).min(shared);
        let budget = Packaging::for_model(self.model, self.training.gradient_checkpointing).token_budget;
        step.min(budget as u64).max(self.counts.longest_family)
    }

    /// `measured`: operations a second of an earlier run of the stage.
    pub fn work(&self, measured: Option<f64>) -> Work {
        let Counts { train, held_out, .. } = self.counts;
        let reference = match self.kind {
            KindSettings::Dpo(_) | KindSettings::Kto(_) => 1.0,
            _ => 0.0,
        };
        let every = self.training.eval_steps.unwrap_or(self.steps.total).max(1);
        let evaluations = 1.0 + self.steps.total.div_ceil(every) as f64;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Work {
            training: self.steps.epochs * self.train_pass(train),
            reference: reference * (self.forward(train) + self.forward(held_out)),
            evaluation: evaluations * self.forward(held_out),
            flops_per_second: measured.unwrap_or(ASSUMED_PER_CORE * cores as f64),
            measured: measured.is_some(),
        }
    }

    /// Forward and backward over all rows once.
    fn train_pass(&self, tokens: &Tokens) -> f64 {
        let Parts { trunk, attention, head } = self.parts(tokens);
        let recomputed = if self.training.gradient_checkpointing { trunk + attention } else { 0.0 };
        // Backward needs two products for each of attention's two, and its scores once more.
        let attention = 3.5 * attention;
        match &self.training.lora {
            // Frozen weights have no gradient of their own; the head's direction comes from one pass.
            Some(lora) => {
                let adapter = 6.0 * lora_parameters(self.model, lora) as f64 * tokens.shared as f64;
                2.0 * trunk + adapter + attention + 2.0 * head + recomputed
            }
            None => 3.0 * trunk + attention + 4.0 * head + recomputed,
        }
    }

    /// Forward over all rows once.
    fn forward(&self, tokens: &Tokens) -> f64 {
        let Parts { trunk, attention, head } = self.parts(tokens);
        trunk + attention + head
    }

    /// Operations forward.
    fn parts(&self, tokens: &Tokens) -> Parts {
        let model = self.model;
        let head = model.vocab_size * model.hidden_size;
        Parts {
            trunk: 2.0 * model.trunk_weights() as f64 * tokens.shared as f64,
            attention: 4.0 * (model.num_hidden_layers * model.query_width()) as f64 * tokens.attended as f64,
            head: 2.0 * head as f64 * tokens.trained as f64,
        }
    }
}

struct Parts {
    trunk: f64,
    /// Scores, and their product with the values.
    attention: f64,
    /// On trained tokens only.
    head: f64,
}

/// Weights of an adapter's A and B.
fn lora_parameters(model: &Config, lora: &LoraSettings) -> u64 {
    let (hidden, queries, keys) = (model.hidden_size, model.query_width(), model.key_width());
    let widths = [
        ("q_proj", hidden + queries),
        ("k_proj", hidden + keys),
        ("v_proj", hidden + keys),
        ("o_proj", queries + hidden),
        ("gate_proj", hidden + model.intermediate_size),
        ("up_proj", hidden + model.intermediate_size),
        ("down_proj", model.intermediate_size + hidden),
    ];
    let adapted = widths.iter().filter(|(module, _)| lora.adapts(module));
    (model.num_hidden_layers * lora.rank * adapted.map(|(_, width)| width).sum::<usize>()) as u64
}
