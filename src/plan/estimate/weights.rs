//! Weights that a stage trains, and those that it holds in memory.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::Stage;
use super::memory::FLOAT;
use crate::backend::compute::Dtype;
use crate::kinds::Trains;
use crate::model::pooling;
use crate::plan::openable;

impl Stage<'_> {
    /// Weights that are trained, value heads included.
    pub fn trainable(&self) -> u64 {
        // A trunk under a value head has no output layer to train.
        let (model, trunk) = match self.part() {
            Some(part) => (part, part),
            None => (
                self.model.parameters(),
                self.model.parameters().saturating_sub(self.model.lm_head_weights()),
            ),
        };
        let weight = self.model.hidden_size as u64;
        match self.facts.trains {
            Trains::RewardModel { head_bias } => {
                trunk.saturating_add(weight + u64::from(head_bias && !self.is_classifier()))
            }
            Trains::PolicyAndValue => model.saturating_add(trunk).saturating_add(weight + 1),
            Trains::Policy => model,
        }
    }

    /// Whether the policy is a sequence classifier, whose head has no bias. Of a result that is not there
    /// yet, only the base tells.
    fn is_classifier(&self) -> bool {
        let made = |path: &Option<PathBuf>| path.clone().filter(|path| path.exists());
        let (adapter, head) = (made(&self.policy.adapter), made(&self.policy.head));
        pooling::is_classifier(self.model, adapter.as_deref(), head.as_deref()).unwrap_or(false)
    }

    /// Weights that are trained where the others stay as they are: of the adapter that is continued, or what
    /// the tuner makes.
    fn part(&self) -> Option<u64> {
        let tuner = &self.training.tuner;
        let new = tuner.trained_part(self.model)?;
        let continued = self.policy.adapter.as_deref().filter(|_| tuner.is_adapter());
        let continued = continued.filter(|folder| openable::is_adapter(folder));
        // One that cannot be opened is a problem of its own.
        let continued = continued.and_then(|folder| openable::places(folder, self.model, true).ok());
        Some(match continued {
            Some((_, places)) => places.trainable(self.model) as u64,
            None => new,
        })
    }

    /// Bytes of weights in memory at once.
    pub(super) fn held(&self) -> u64 {
        let model = self.model;
        let (frozen, trained) = (self.dtype.bytes(), self.trained_weight());
        let base = frozen.saturating_mul(model.parameters());
        let head = model.hidden_size as u64 + 1;
        let part = self.part();
        // In float32, LoRA keeps the layers' weights once more, with the adapter merged in.
        let merged = if self.dtype == Dtype::F32 { FLOAT.saturating_mul(model.trunk_weights()) } else { 0 };
        let judge = frozen.saturating_mul(part.unwrap_or(0)).saturating_add(merged);
        let own = if self.training.tuner.is_adapter() { merged } else { 0 };
        let (policy, trunk) = match part {
            Some(part) => {
                let part = trained.saturating_mul(part).saturating_add(own);
                (part, part)
            }
            None => {
                let all = model.parameters();
                let trunk = all.saturating_sub(model.lm_head_weights());
                (trained.saturating_mul(all), trained.saturating_mul(trunk))
            }
        };
        match (self.facts.trains, self.reward) {
            (Trains::PolicyAndValue, Some(reward)) => {
                let reference = self.reference.unwrap_or(self.policy);
                // Models on one base share its frozen weights.
                let mut bases: BTreeSet<&Path> = BTreeSet::from([reference.base.as_path(), &reward.base]);
                if part.is_some() {
                    bases.insert(&self.policy.base);
                }
                let adapted = [reference, reward].iter().filter(|judge| judge.adapter.is_some()).count();
                let models =
                    (bases.len() as u64).saturating_mul(base).saturating_add(policy).saturating_add(trunk);
                models
                    .saturating_add((adapted as u64).saturating_mul(judge))
                    .saturating_add((trained + frozen) * head)
            }
            (Trains::RewardModel { .. }, _) => {
                // A result has the output layer, which nothing trains.
                let frozen = match part {
                    Some(_) => base,
                    None => frozen.saturating_mul(model.lm_head_weights()),
                };
                frozen.saturating_add(trunk).saturating_add(trained * head)
            }
            _ if part.is_some() => base.saturating_add(policy),
            _ => policy,
        }
    }
}
