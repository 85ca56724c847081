//! How rows are packed into passes, and passes that need no gradients.

use std::ops::Range;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use super::pack::{Batch, TargetTokens, pack};
use crate::backend::compute::{DeviceSpec, Dtype};
use crate::backend::log_prob::LogProbs;
use crate::data::example::Example;
use crate::model::activation_memory::kept_of_token;
use crate::model::config::Config;
use crate::model::decoder::{Decoder, Keep, Tokens};
use crate::model::log_prob::Targets;
use crate::model::value_head::ValueHead;
use crate::random::Stream;

/// How the engine packs rows. Results do not depend on it beyond rounding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchPolicy {
    /// Tokens that pass through the model at once, at least one row.
    pub token_budget: usize,
    /// Whether a prompt goes through the model once for all its answers.
    pub share_prefix: bool,
}

/// Bytes of activations that a pass may keep. On a GPU, enough that matrix products are as fast as they
/// get; where layers are made again, the user has little memory.
fn activation_bytes(device: DeviceSpec, gradient_checkpointing: bool) -> u64 {
    match (device, gradient_checkpointing) {
        (DeviceSpec::Cpu, _) => 384 << 20,
        (DeviceSpec::Cuda(_), false) => 16 << 30,
        (DeviceSpec::Cuda(_), true) => 4 << 30,
    }
}

/// Tokens of a pass on a GPU at most, where a model is so small that memory sets no bound: more of them
/// keep no GPU busier, and tables of that many rows are made on the host.
const GPU_TOKENS: u64 = 32 << 10;

/// What a forward keeps for backward.
pub fn keep(gradient_checkpointing: bool) -> Keep {
    if gradient_checkpointing { Keep::LayerInputs } else { Keep::All }
}

impl BatchPolicy {
    /// As many tokens as the activations' budget allows. How much memory is free does not matter: plan
    /// and run agree wherever they are made.
    pub fn for_model(
        config: &Config,
        device: DeviceSpec,
        dtype: Dtype,
        gradient_checkpointing: bool,
    ) -> Self {
        let of_token = kept_of_token(config, dtype, keep(gradient_checkpointing));
        let tokens = activation_bytes(device, gradient_checkpointing) / of_token.max(1);
        let most = if device == DeviceSpec::Cpu { u64::MAX } else { GPU_TOKENS };
        BatchPolicy { token_budget: tokens.clamp(64, most) as usize, share_prefix: true }
    }
}

impl BatchPolicy {
    /// Consecutive examples that fit a pass.
    pub fn passes(&self, examples: &[&Example]) -> Vec<Range<usize>> {
        self.passes_of(examples, &vec![1; examples.len()])
    }

    /// Passes that hold whole groups of consecutive examples; a group that does not fit is a pass by
    /// itself.
    pub fn passes_of(&self, examples: &[&Example], groups: &[usize]) -> Vec<Range<usize>> {
        let size = |f: &Example| if self.share_prefix { f.tokens_shared() } else { f.tokens_unshared() };
        let mut passes: Vec<Range<usize>> = Vec::new();
        let (mut tokens, mut first) = (0, 0);
        for group in groups {
            let end = first + group;
            let own: usize = examples[first..end].iter().map(|example| size(example)).sum();
            tokens += own;
            match passes.last_mut() {
                Some(pass) if tokens <= self.token_budget => pass.end = end,
                _ => {
                    tokens = own;
                    passes.push(first..end);
                }
            }
            first = end;
        }
        passes
    }

    pub fn pack(&self, examples: &[&Example], wanted: TargetTokens) -> Batch {
        pack(examples, wanted, self.share_prefix)
    }

    /// Log-probabilities of what is asked for, at a temperature.
    pub fn log_probs(
        &self,
        decoder: &Decoder,
        examples: &[&Example],
        wanted: TargetTokens,
        temperature: f64,
    ) -> Result<(Batch, LogProbs)> {
        let batch = self.pack(examples, wanted);
        let found = decoder.log_probs(&batch.tokens(None), batch.targets(temperature))?;
        Ok((batch, found))
    }

    /// The score of each target's row.
    pub fn scores(
        &self,
        decoder: &Decoder,
        head: &ValueHead,
        examples: &[&Example],
        wanted: TargetTokens,
    ) -> Result<(Batch, Vec<f64>)> {
        let batch = self.pack(examples, wanted);
        let found = decoder.scores(head, &batch.tokens(None), &batch.hidden)?;
        Ok((batch, found))
    }
}

impl Batch {
    pub fn tokens(&self, dropout: Option<Stream>) -> Tokens<'_> {
        Tokens {
            ids: &self.ids,
            packing: &self.packing,
            needed: &self.needed,
            dropout: dropout.map(|stream| (stream, self.row_keys.as_slice())),
        }
    }

    pub fn targets(&self, temperature: f64) -> Targets<'_> {
        Targets { hidden: &self.hidden, tokens: &self.targets, temperature }
    }
}
