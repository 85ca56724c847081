//! What every kind shares: passes over packed rows, gradients, the optimiser's step, the state.

use std::ops::Range;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::batch::{Batch, pack};
use super::sampler::Sampler;
use crate::backend::log_prob::LogProbs;
use crate::backend::random::{Purpose, Stream};
use crate::backend::weights_file::WeightFiles;
use crate::data::example::Family;
use crate::model::config::Config;
use crate::model::decoder::{Decoder, Keep, Tokens};
use crate::model::log_prob::Targets;
use crate::model::weights::write_safetensors;
use crate::optim::adamw::{AdamW, AdamWSettings};
use crate::optim::clip::{clip_factor, global_norm};
use crate::optim::schedule::learning_rate;
use crate::plan::settings::TrainingSettings;

/// How the engine packs rows. Results do not depend on it beyond rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packaging {
    /// Tokens that pass through the model at once, at least one row.
    pub token_budget: usize,
    /// Whether a prompt goes through the model once for all its answers.
    pub share_prefix: bool,
}

/// Activations that a pass may keep, elements (384 MiB of float32).
const ACTIVATION_ELEMENTS: usize = 96 << 20;

impl Packaging {
    /// As many tokens as the activations' budget allows.
    pub fn for_model(config: &Config, gradient_checkpointing: bool) -> Self {
        let token_budget =
            (ACTIVATION_ELEMENTS / activation_elements(config, gradient_checkpointing)).max(64);
        Packaging { token_budget, share_prefix: true }
    }
}

/// Elements that backward needs of one token.
pub fn activation_elements(config: &Config, gradient_checkpointing: bool) -> usize {
    let (h, i) = (config.hidden_size, config.intermediate_size);
    let layer = 2 * h + 2 * config.query_width() + 2 * config.key_width() + 2 * i;
    if gradient_checkpointing {
        config.num_hidden_layers * h + layer
    } else {
        config.num_hidden_layers * layer
    }
}

/// A model in training and its rows.
pub struct Trainer {
    pub decoder: Decoder,
    pub settings: TrainingSettings,
    pub train: Vec<Family>,
    pub eval: Vec<Family>,
    optimizer: AdamW,
    sampler: Sampler,
    packaging: Packaging,
    stream: Stream,
    progress: Progressed,
}

/// What a checkpoint keeps beside weights and moments.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Progressed {
    /// Optimiser steps done.
    steps: u64,
    /// Tokens trained on so far, prompts counted once an answer.
    num_tokens: u64,
}

/// The rows of one optimiser step.
pub struct StepRows {
    /// (micro-batch, row index), micro-batches in order.
    pub rows: Vec<(usize, usize)>,
    pub micro_batches: usize,
}

/// Sums over one answer's targets.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Answer {
    pub log_prob: f64,
    pub entropy: f64,
    pub mean_logit: f64,
    pub correct: f64,
    pub tokens: usize,
}

impl Answer {
    pub fn of(log_probs: &LogProbs, targets: Range<usize>) -> Self {
        let sum = |values: &[f64]| values[targets.clone()].iter().sum();
        Answer {
            log_prob: sum(&log_probs.log_prob),
            entropy: sum(&log_probs.entropy),
            mean_logit: sum(&log_probs.mean_logit),
            correct: log_probs.is_arg_max[targets.clone()].iter().filter(|hit| **hit).count() as f64,
            tokens: targets.len(),
        }
    }
}

impl Trainer {
    pub fn new(
        decoder: Decoder,
        stage: &str,
        settings: TrainingSettings,
        packaging: Packaging,
        train: Vec<Family>,
        eval: Vec<Family>,
    ) -> Result<Self> {
        let adamw = AdamWSettings {
            beta1: settings.adam_beta1,
            beta2: settings.adam_beta2,
            epsilon: settings.adam_epsilon,
            weight_decay: settings.weight_decay,
        };
        let stream = |purpose| Stream::new(settings.seed, purpose).name(stage);
        Ok(Trainer {
            optimizer: AdamW::new(adamw, &decoder.trained())?,
            sampler: Sampler::new(train.len(), &settings, stream(Purpose::Shuffle)),
            stream: stream(Purpose::Dropout),
            progress: Progressed::default(),
            decoder,
            settings,
            train,
            eval,
            packaging,
        })
    }

    pub fn total_steps(&self) -> u64 {
        self.sampler.total_steps(&self.settings)
    }

    pub fn steps_per_epoch(&self) -> f64 {
        self.sampler.steps_per_epoch() as f64
    }

    /// Training rows that the stage sees at all, ascending.
    pub fn rows_seen(&mut self) -> Vec<usize> {
        let steps = self.total_steps();
        self.sampler.seen(steps)
    }

    /// The rows of step `step`.
    pub fn step_rows(&mut self, step: u64) -> StepRows {
        let micro_batches = self.sampler.micro_batches(step);
        let rows =
            micro_batches.iter().enumerate().flat_map(|(m, rows)| rows.iter().map(move |&row| (m, row)));
        StepRows { rows: rows.collect(), micro_batches: micro_batches.len() }
    }

    /// Consecutive families that fit a pass.
    pub fn passes(&self, families: &[&Family]) -> Vec<Range<usize>> {
        let share = self.packaging.share_prefix;
        let size = |f: &Family| if share { f.tokens_shared() } else { f.tokens_unshared() };
        let mut passes: Vec<Range<usize>> = Vec::new();
        let mut tokens = 0;
        for (index, family) in families.iter().enumerate() {
            tokens += size(family);
            match passes.last_mut() {
                Some(pass) if tokens <= self.packaging.token_budget => pass.end = index + 1,
                _ => {
                    tokens = size(family);
                    passes.push(index..index + 1);
                }
            }
        }
        passes
    }

    /// Log-probabilities of all trained tokens, without gradients.
    pub fn log_probs(&self, decoder: &Decoder, families: &[&Family]) -> Result<(Batch, LogProbs)> {
        let batch = pack(families, self.packaging.share_prefix);
        let found = decoder.log_probs(&tokens(&batch, None), targets(&batch))?;
        Ok((batch, found))
    }

    /// Forward over `families`, then backward from the coefficients ∂ loss / ∂ log p that `objective`
    /// makes of each target's log-probability.
    pub fn train_pass(
        &self,
        families: &[&Family],
        objective: impl FnOnce(&Batch, &LogProbs) -> Result<Vec<f64>>,
    ) -> Result<()> {
        let batch = pack(families, self.packaging.share_prefix);
        let dropout = self.settings.lora.as_ref().is_some_and(|lora| lora.dropout > 0.0);
        let stream = dropout.then(|| self.stream.key(self.progress.steps));
        let tokens = tokens(&batch, stream);
        let keep = if self.settings.gradient_checkpointing { Keep::LayerInputs } else { Keep::All };
        let (found, pending) = self.decoder.forward_log_probs(&tokens, targets(&batch), keep)?;
        let coefficients = objective(&batch, &found)?;
        self.decoder.backward_log_probs(&tokens, targets(&batch), pending, &coefficients)
    }

    /// Clips, updates and clears; returns the norm before clipping and the rate.
    pub fn update(&mut self, rows: &StepRows) -> Result<(f64, f64)> {
        let trained = self.decoder.trained();
        let norm = global_norm(&trained)?;
        let rate = learning_rate(&self.settings, self.progress.steps, self.total_steps());
        self.optimizer.step(&trained, rate, clip_factor(norm, self.settings.max_grad_norm))?;
        drop(trained);
        self.decoder.refresh()?;
        self.progress.steps += 1;
        self.progress.num_tokens +=
            rows.rows.iter().map(|&(_, row)| self.train[row].tokens_unshared() as u64).sum::<u64>();
        Ok((norm, rate))
    }

    /// Tokens trained on so far.
    pub fn num_tokens(&self) -> u64 {
        self.progress.num_tokens
    }

    pub fn save_state(&self, dir: &Path) -> Result<()> {
        write_safetensors(&self.optimizer.state(&self.decoder.trained()), &dir.join("trained.safetensors"))?;
        let path = dir.join("trainer.json");
        std::fs::write(&path, serde_json::to_string(&self.progress)?)
            .with_context(|| format!("cannot write `{}`", path.display()))
    }

    pub fn restore(&mut self, dir: &Path) -> Result<()> {
        let path = dir.join("trainer.json");
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
        self.progress = serde_json::from_str(&text)
            .with_context(|| format!("`{}` is not a trainer's state", path.display()))?;
        let path = dir.join("trained.safetensors");
        let files = WeightFiles::open(std::slice::from_ref(&path))
            .with_context(|| format!("cannot read `{}`", path.display()))?;
        let trained = self.decoder.trained();
        self.optimizer.restore(&trained, self.progress.steps, |name| Ok(files.load(name)?))?;
        drop(trained);
        self.decoder.refresh()
    }
}

fn tokens(batch: &Batch, dropout: Option<Stream>) -> Tokens<'_> {
    Tokens {
        ids: &batch.ids,
        packing: &batch.packing,
        needed: &batch.needed,
        dropout: dropout.map(|stream| (stream, batch.row_keys.as_slice())),
    }
}

fn targets(batch: &Batch) -> Targets<'_> {
    Targets { hidden: &batch.hidden, tokens: &batch.targets }
}
