//! The kinds of training: one file per kind, with its keys and their defaults, what the other rooms must know
//! of it ([`Facts`]), and its algorithm.
//!
//! | file | what it holds |
//! |---|---|
//! | `sft`, `rm`, `dpo`, `kto`, `cpo`, `orpo`, `simpo`, `ppo` | the kinds |
//! | [`facts`] | the table whose rows the kinds are |
//! | [`source`] | which model a stage starts from or asks |
//! | [`open`] | a stage with its models loaded |

pub mod cpo;
pub mod dpo;
#[cfg(test)]
mod emulated_tests;
pub mod facts;
#[cfg(test)]
mod gradients_tests;
pub mod kto;
mod label_balance;
mod nll_beside;
pub mod open;
pub mod orpo;
pub mod ppo;
pub mod rm;
pub mod sft;
pub mod simpo;
pub mod source;

use anyhow::Result;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::example::LabelCounts;
use crate::train::{Algorithm, Opening, TrainingSettings};

pub use cpo::CpoSettings;
pub use dpo::DpoSettings;
pub use facts::{Facts, Fields, IdleKey, KeyProblem, Scored, Trains};
pub use kto::KtoSettings;
pub use open::{StageInputs, StageRows, open};
pub use orpo::OrpoSettings;
pub use ppo::PpoSettings;
pub use rm::RmSettings;
pub use simpo::SimpoSettings;
pub use source::{Role, Source};

/// What a stage does, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Supervised fine-tuning on answers; preference rows serve by their chosen side.
    Sft,
    /// A reward model (2203.02155) from pairs of answers.
    Rm,
    /// Reinforcement learning (1707.06347) on answers to prompts, scored by a reward model.
    Ppo,
    /// Direct preference optimisation (2305.18290) on pairs of answers.
    Dpo,
    /// Kahneman-Tversky optimisation (2402.01306) on single answers labelled good or bad.
    Kto,
    /// Contrastive preference optimisation (2401.08417) on pairs of answers, without a reference.
    Cpo,
    /// Odds-ratio preference optimisation (2403.07691) on pairs of answers, without a reference.
    Orpo,
    /// Simple preference optimisation (2405.14734) on pairs of answers, without a reference.
    Simpo,
}

/// A kind and the keys that not every kind has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum KindSettings {
    Sft,
    Rm(RmSettings),
    Ppo(PpoSettings),
    Dpo(DpoSettings),
    Kto(KtoSettings),
    Cpo(CpoSettings),
    Orpo(OrpoSettings),
    Simpo(SimpoSettings),
}

impl Kind {
    pub const ALL: [Kind; 8] =
        [Kind::Sft, Kind::Rm, Kind::Ppo, Kind::Dpo, Kind::Kto, Kind::Cpo, Kind::Orpo, Kind::Simpo];

    /// As a recipe writes it.
    pub fn name(self) -> &'static str {
        self.defaults().name()
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// A stage of the kind that writes no key of its own.
    pub fn defaults(self) -> KindSettings {
        match self {
            Kind::Sft => KindSettings::Sft,
            Kind::Rm => KindSettings::Rm(RmSettings::default()),
            Kind::Ppo => KindSettings::Ppo(PpoSettings::default()),
            Kind::Dpo => KindSettings::Dpo(DpoSettings::default()),
            Kind::Kto => KindSettings::Kto(KtoSettings::default()),
            Kind::Cpo => KindSettings::Cpo(CpoSettings::default()),
            Kind::Orpo => KindSettings::Orpo(OrpoSettings::default()),
            Kind::Simpo => KindSettings::Simpo(SimpoSettings::default()),
        }
    }
}

/// What a kind's own file says of its settings.
trait OfKind {
    fn name(&self) -> &'static str;

    fn facts(&self) -> Facts<'_>;

    /// Adds what the kind's results follow from, all keys but those that change no result.
    fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()>;

    /// Puts the kind's algorithm together.
    fn open(&self, opening: &mut Opening<'_>) -> Result<Box<dyn Algorithm>>;

    /// Keys of a stage that contradict each other.
    fn problems(&self, _stage: &str, _training: &TrainingSettings) -> Vec<KeyProblem> {
        Vec::new()
    }

    /// Keys that do nothing beside the others.
    fn idle(&self, _training: &TrainingSettings) -> Vec<IdleKey> {
        Vec::new()
    }

    /// What a person should know of the rows, training and held-out, before training on them.
    fn row_warnings(&self, _train: LabelCounts, _held_out: LabelCounts, _batch_size: usize) -> Vec<String> {
        Vec::new()
    }
}

impl KindSettings {
    fn of_kind(&self) -> &dyn OfKind {
        match self {
            KindSettings::Sft => &sft::SftSettings,
            KindSettings::Rm(settings) => settings,
            KindSettings::Ppo(settings) => settings,
            KindSettings::Dpo(settings) => settings,
            KindSettings::Kto(settings) => settings,
            KindSettings::Cpo(settings) => settings,
            KindSettings::Orpo(settings) => settings,
            KindSettings::Simpo(settings) => settings,
        }
    }

    /// The kind's name as a recipe writes it.
    pub fn name(&self) -> &'static str {
        self.of_kind().name()
    }

    /// Its row of the table.
    pub fn facts(&self) -> Facts<'_> {
        self.of_kind().facts()
    }

    pub fn add_fields(&self, fields: &mut Fields) -> serde_json::Result<()> {
        self.of_kind().add_fields(fields)
    }

    pub fn problems(&self, stage: &str, training: &TrainingSettings) -> Vec<KeyProblem> {
        self.of_kind().problems(stage, training)
    }

    pub fn idle(&self, training: &TrainingSettings) -> Vec<IdleKey> {
        self.of_kind().idle(training)
    }

    pub fn row_warnings(&self, train: LabelCounts, held_out: LabelCounts, batch_size: usize) -> Vec<String> {
        self.of_kind().row_warnings(train, held_out, batch_size)
    }
}

/// One stage, resolved: every default filled in, every range checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageSettings {
    pub name: String,
    /// Name of the `[data.NAME]` table this stage trains on.
    pub data: String,
    /// Where the policy comes from.
    pub policy: Source,
    /// The kind and the keys only it has.
    pub kind: KindSettings,
    pub training: TrainingSettings,
}

impl StageSettings {
    /// All models that the stage reads: its policy, and those that it names besides.
    pub fn sources(&self) -> Vec<(Role, &Source)> {
        std::iter::once((Role::Policy, &self.policy)).chain(self.kind.facts().sources).collect()
    }
}
