//! How rows are packed into passes, and passes that need no gradients.

use std::ops::Range;

use anyhow::Result;

use super::batch::{Ask, Batch, pack};
use crate::backend::log_prob::LogProbs;
use crate::backend::random::Stream;
use crate::data::example::Family;
use crate::model::config::Config;
use crate::model::decoder::{Decoder, Tokens};
use crate::model::log_prob::Targets;
use crate::model::value_head::ValueHead;

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

impl Packaging {
    /// Consecutive families that fit a pass.
    pub fn passes(&self, families: &[&Family]) -> Vec<Range<usize>> {
        self.passes_of(families, &vec![1; families.len()])
    }

    /// Passes that hold whole groups of consecutive families; a group that does not fit is a pass by
    /// itself.
    pub fn passes_of(&self, families: &[&Family], groups: &[usize]) -> Vec<Range<usize>> {
        let size = |f: &Family| if self.share_prefix { f.tokens_shared() } else { f.tokens_unshared() };
        let mut passes: Vec<Range<usize>> = Vec::new();
        let (mut tokens, mut first) = (0, 0);
        for group in groups {
            let end = first + group;
            let own: usize = families[first..end].iter().map(|family| size(family)).sum();
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

    pub fn pack(&self, families: &[&Family], ask: Ask) -> Batch {
        pack(families, ask, self.share_prefix)
    }

    /// Log-probabilities of what is asked for, at a temperature.
    pub fn log_probs(
        &self,
        decoder: &Decoder,
        families: &[&Family],
        ask: Ask,
        temperature: f64,
    ) -> Result<(Batch, LogProbs)> {
        let batch = self.pack(families, ask);
        let found = decoder.log_probs(&batch.tokens(None), batch.targets(temperature))?;
        Ok((batch, found))
    }

    /// The score of each target's row.
    pub fn scores(
        &self,
        decoder: &Decoder,
        head: &ValueHead,
        families: &[&Family],
        ask: Ask,
    ) -> Result<(Batch, Vec<f64>)> {
        let batch = self.pack(families, ask);
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
