//! A ppo stage between two steps.

use super::response::Rollout;
use super::settings::PpoSettings;
use super::updates::Updates;
use crate::model::decoder::Decoder;
use crate::random::{Purpose, Stream};
use crate::train::Opening;
use crate::train::trainer::Critic;

/// The models that a ppo stage asks and does not train.
pub struct Scorers {
    pub reference: Decoder,
    pub reward: Critic,
}

pub struct Ppo {
    pub settings: PpoSettings,
    pub updates: Updates,
    pub scorers: Scorers,
    /// Tokens that end a response, and what the template writes after one.
    pub end_tokens: Vec<u32>,
    pub closing: Vec<u32>,
    pub stream: Stream,
    /// Of the update under way.
    pub rollout: Option<Rollout>,
}

impl Ppo {
    pub fn new(settings: PpoSettings, scorers: Scorers, opening: &Opening<'_>) -> Self {
        let Opening { stage, training, rows, end_tokens, closing, .. } = opening;
        Ppo {
            updates: Updates::of(&training.batches, &settings, *rows),
            settings,
            scorers,
            end_tokens: end_tokens.clone(),
            closing: closing.clone(),
            stream: Stream::new(training.seed, Purpose::Rollout).name(stage),
            rollout: None,
        }
    }

    /// The responses of a mini-batch: one permutation per epoch, cut into equal parts.
    pub fn mini_batch(&self, update: u64, inner: u64, responses: usize) -> Vec<usize> {
        let parts = self.settings.num_mini_batches as u64;
        let (epoch, part) = (inner / parts, (inner % parts) as usize);
        let order = self.stream.name("mini-batches").key(update).key(epoch).permutation(responses);
        let bound = |part: usize| part * responses / parts as usize;
        match bound(part)..bound(part + 1) {
            // the short last update of an epoch may have fewer responses than mini-batches
            empty if empty.is_empty() => vec![order[part % responses]],
            own => order[own].to_vec(),
        }
    }
}
