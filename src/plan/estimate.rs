//! How much memory and how many operations a stage takes. Of a ppo stage, whose responses are not there
//! yet, with responses of full length: an upper bound.

pub mod passes;
mod weights;

use serde::{Deserialize, Serialize};

use crate::backend::log_prob::chunk_rows;
use crate::model::config::Config;
use crate::plan::artifact::Artifact;
use crate::plan::counts::{Counts, Tokens};
use crate::plan::settings::{KindSettings, PpoSettings, TrainingSettings};
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
    /// Keys and values of responses that are being written.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache: u64,
}

fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl Memory {
    pub fn total(&self) -> u64 {
        self.weights + self.gradients + self.optimiser + self.activations + self.logits + self.cache
    }
}

/// Operations (a multiplication and an addition count as two), and how long they may take.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Work {
    /// All optimiser steps, and the responses that those of ppo are on.
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
    pub policy: &'a Artifact,
    pub reference: Option<&'a Artifact>,
    pub reward: Option<&'a Artifact>,
    pub counts: &'a Counts,
    pub steps: Steps,
}

impl Stage<'_> {
    pub fn memory(&self) -> Memory {
        let model = self.model;
        let trainable = self.trainable();
        // Policy and value model of ppo go through their passes one after the other.
        let kept = activation_elements(model, self.training.gradient_checkpointing) as u64;
        let answered_at_once = self.ppo().map_or(0, |ppo| self.answered_at_once(ppo));
        let scored_at_once = match self.kind {
            KindSettings::Rm(_) => 0,
            _ => answered_at_once.max(chunk_rows(model.vocab_size) as u64),
        };
        let cached = self.ppo().map_or(0, |ppo| {
            let longest = self.counts.longest_family + ppo.response_length as u64;
            answered_at_once * longest * (model.num_hidden_layers * 2 * model.key_width()) as u64
        });
        Memory {
            weights: FLOAT * self.held(),
            gradients: FLOAT * trainable,
            optimiser: 2 * FLOAT * trainable,
            activations: FLOAT * kept * self.tokens_in_flight(),
            logits: FLOAT * scored_at_once * model.vocab_size as u64,
            cache: FLOAT * cached,
        }
    }

    fn ppo(&self) -> Option<&PpoSettings> {
        match self.kind {
            KindSettings::Ppo(ppo) => Some(ppo),
            _ => None,
        }
    }

    /// Rows of an optimiser step, or of an update of ppo.
    fn rows_a_window(&self) -> u64 {
        (self.training.batch_size * self.training.gradient_accumulation_steps) as u64
    }

    /// Prompts of ppo that are answered at a time.
    fn answered_at_once(&self, ppo: &PpoSettings) -> u64 {
        self.rows_a_window().min(ppo.local_rollout_forward_batch_size as u64)
    }

    /// Tokens that pass through the model at once: a step's rows, as far as the engine's budget goes.
    fn tokens_in_flight(&self) -> u64 {
        let response = self.ppo().map_or(0, |ppo| ppo.response_length as u64);
        let Tokens { rows, shared, .. } = self.answered(&self.counts.train, response);
        // The responses of an update are scored at once, and trained on in mini-batches.
        let step = (shared / rows.max(1)).saturating_mul(self.rows_a_window()).min(shared);
        let budget = Packaging::for_model(self.model, self.training.gradient_checkpointing).token_budget;
        step.min(budget as u64).max(self.counts.longest_family + response)
    }

    /// `measured`: operations a second of an earlier run of the stage.
    pub fn work(&self, measured: Option<f64>) -> Work {
        let Counts { train, held_out, .. } = self.counts;
        let forward = |tokens: &Tokens| self.parts(tokens).forward();
        let (epoch, evaluation) = match self.kind {
            KindSettings::Ppo(ppo) => {
                let answered = |prompts| self.answered(prompts, ppo.response_length as u64);
                (self.ppo_epoch(ppo, &answered(train)), self.judged(&answered(held_out)))
            }
            _ => (self.train_pass(train, self.parts(train)), forward(held_out)),
        };
        let reference = match self.kind {
            KindSettings::Dpo(_) | KindSettings::Kto(_) => forward(train) + forward(held_out),
            _ => 0.0,
        };
        let every = self.training.eval_steps.unwrap_or(self.steps.total).max(1);
        let evaluations = 1.0 + self.steps.total.div_ceil(every) as f64;
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Work {
            training: self.steps.epochs * epoch,
            reference,
            evaluation: evaluations * evaluation,
            flops_per_second: measured.unwrap_or(ASSUMED_PER_CORE * cores as f64),
            measured: measured.is_some(),
        }
    }

    /// Responses written, their log-probs under policy and reference, and their scores.
    fn judged(&self, answered: &Tokens) -> f64 {
        3.0 * self.parts(answered).forward() + self.parts(answered).without_head().forward()
    }

    /// An epoch of ppo: every prompt answered once, the responses judged, valued and trained on.
    fn ppo_epoch(&self, ppo: &PpoSettings, answered: &Tokens) -> f64 {
        let values = self.parts(answered).without_head();
        let rollout = self.judged(answered) + values.forward();
        let policy = self.train_pass(answered, self.parts(answered));
        rollout + ppo.num_ppo_epochs as f64 * (policy + self.train_pass(answered, values))
    }
}
