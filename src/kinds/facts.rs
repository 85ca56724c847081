//! What the rooms above must know of a kind: one field per column of the table. A kind fills in a row.

use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::Value;

use super::source::{Role, Source};
use crate::batch::Episodes;
use crate::data::{Longer, Need};
use crate::train::metric::Metric;
use crate::train::pair_metrics::PAIR_METRICS;

/// A kind's row of the table. Some of it depends on the stage's settings.
pub struct Facts<'a> {
    /// Default learning rates.
    pub learning_rate: Rates,
    /// Bumped whenever a change to the code changes the results of the kind.
    pub numerics: u32,
    /// Schema of the keys that not every kind has; `None` where there are none.
    pub keys: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// Names that its `loss_type` may have, if it has that key.
    pub losses: Option<fn() -> Losses>,
    /// What its rows must be.
    pub rows: Need,
    /// What becomes of rows that are too long.
    pub longer: Longer,
    /// Whether each row gets another row's answer beside its own.
    pub mismatched: bool,
    /// What is trained and comes out.
    pub trains: Trains,
    /// Models that it names besides the policy.
    pub sources: Vec<(Role, &'a Source)>,
    /// Whether the policy is compared with a reference, named or not.
    pub has_reference: bool,
    /// Tokens whose log-probability is asked for in training.
    pub scored: Scored,
    /// How it answers prompts; `None` for kinds that train on the answers of their rows.
    pub rollouts: Option<Rollouts>,
    /// Whether it is measured beside other stages that start from the same model.
    pub is_compared: bool,
    /// Metrics that not every kind has, in the order in which they are shown.
    pub metrics: &'static [Metric],
}

impl Default for Facts<'_> {
    /// Of a kind that trains a policy on pairs without a reference.
    fn default() -> Self {
        Facts {
            learning_rate: Rates { full: 1e-6, lora: 5e-5 },
            numerics: 1,
            keys: None,
            losses: None,
            rows: Need::Preference,
            longer: Longer::Cut,
            mismatched: false,
            trains: Trains::Policy,
            sources: Vec::new(),
            has_reference: false,
            scored: Scored::Trained,
            rollouts: None,
            is_compared: true,
            metrics: PAIR_METRICS,
        }
    }
}

impl Facts<'_> {
    /// What it does with a window of prompts.
    pub fn episodes(&self) -> Episodes {
        self.rollouts.map_or_else(Episodes::default, |rollouts| rollouts.episodes)
    }
}

/// Learning rates with full tuning and with LoRA.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    pub full: f64,
    pub lora: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trains {
    /// A model that answers.
    Policy,
    /// A trunk under a head that scores; with the head's bias or without.
    RewardModel { head_bias: bool },
    /// A policy, and beside it a value model with a head.
    PolicyAndValue,
}

/// Tokens whose log-probability is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scored {
    /// Those that are trained on.
    Trained,
    /// Those, and those of another row's answer.
    WithMismatched,
    /// Those, and those of prompts but the first.
    WithPrompts,
    /// None: sequences are scored.
    Nothing,
}

/// How prompts are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollouts {
    /// Tokens of a response at most.
    pub response_length: usize,
    /// Prompts that are answered at a time.
    pub at_once: usize,
    /// Passes over the responses of a window.
    pub passes: usize,
    /// Optimiser steps in a pass.
    pub steps_per_pass: usize,
    pub episodes: Episodes,
}

/// What a kind's `loss_type` may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Losses {
    pub names: Vec<String>,
    /// Whether a list of them adds them up.
    pub lists: bool,
    /// The name that counts in a list alone.
    pub only_in_lists: Option<&'static str>,
}

/// A contradiction between keys of one stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyProblem {
    pub key: &'static str,
    pub message: String,
    pub help: String,
    /// Another key that it is about, and what that is.
    pub related: Option<(&'static str, &'static str)>,
    /// Keys that must be sound themselves for the problem to be worth telling.
    pub about: &'static [&'static str],
}

impl KeyProblem {
    /// A problem of `key`, and a remedy.
    pub fn new(key: &'static str, message: impl Into<String>, help: impl Into<String>) -> Self {
        KeyProblem { key, message: message.into(), help: help.into(), related: None, about: &[] }
    }
}

/// A key that is legal but does nothing with the stage's other keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdleKey {
    /// `lora/dropout` is a key of a table.
    pub key: &'static str,
    /// Why, after "does nothing".
    pub otherwise: &'static str,
}

/// What a stage's result follows from: dotted key → value. What is off is left out, so that a key which a
/// later version adds, off by default, changes no fingerprint.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fields(pub std::collections::BTreeMap<String, Value>);

impl Fields {
    pub fn add(&mut self, key: &str, value: impl Serialize) -> serde_json::Result<()> {
        match serde_json::to_value(value)? {
            Value::Null => {}
            value => {
                self.0.insert(key.to_owned(), value);
            }
        }
        Ok(())
    }

    /// Adds where a model comes from.
    pub fn add_source(&mut self, role: Role, source: &Source) -> serde_json::Result<()> {
        match source {
            Source::Base => self.add(role.key(), "base"),
            Source::Stage(name) => self.add(&format!("{}.stage", role.key()), name),
            // Of a folder, the content counts.
            Source::Folder(_) => Ok(()),
        }
    }
}

/// The names of an enum's values, from its schema.
pub fn names_of<T: schemars::JsonSchema>() -> Vec<String> {
    let schema = SchemaGenerator::default().into_root_schema_for::<T>().to_value();
    let of = |list: &Value| -> Vec<String> {
        let names = list.as_array().into_iter().flatten();
        names.filter_map(|one| one.as_str().or(one["const"].as_str()).map(str::to_owned)).collect()
    };
    [of(&schema["oneOf"]), of(&schema["enum"])].concat()
}
