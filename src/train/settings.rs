//! Keys that every kind of training has.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::batch::BatchSettings;
use crate::model::tuner::Tuner;
use crate::optim::adamw::AdamWSettings;
use crate::optim::schedule::ScheduleSettings;

/// The seed of a recipe that names none, as TRL's.
pub const SEED: u64 = 42;

/// Keys that every kind has; names and defaults are those of Hugging Face's and TRL's trainers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TrainingSettings {
    #[serde(flatten)]
    pub tuner: Tuner,
    #[serde(flatten)]
    pub batches: BatchSettings,
    #[serde(flatten)]
    pub schedule: ScheduleSettings,
    #[serde(flatten)]
    pub optimizer: AdamWSettings,
    /// Tokens of prompt and answer together; what is longer is cut at the end.
    #[schemars(range(min = 2, max = 16777216))]
    pub max_length: usize,
    /// Tokens of the prompt, fewer than `max_length`; longer prompts lose their beginning. Default:
    /// no bound of its own.
    #[schemars(range(min = 1))]
    pub max_prompt_length: Option<usize>,
    /// Recomputes layers in the backward pass: less memory, more time, the same numbers.
    pub gradient_checkpointing: bool,
    /// Steps between two lines of `metrics.jsonl`.
    #[schemars(range(min = 1))]
    pub logging_steps: u64,
    /// Steps between two evaluations on the held-out rows. Default: only at the end.
    #[schemars(range(min = 1))]
    pub eval_steps: Option<u64>,
    /// Steps between two checkpoints. Default: only at the end.
    #[schemars(range(min = 1))]
    pub save_steps: Option<u64>,
    /// Checkpoints kept, the newest. Default: all.
    #[schemars(range(min = 1))]
    pub save_total_limit: Option<usize>,
    /// Seed of the stage. Default: the recipe's.
    pub seed: u64,
}

impl Default for TrainingSettings {
    fn default() -> Self {
        TrainingSettings {
            tuner: Tuner::Full,
            batches: BatchSettings::default(),
            schedule: ScheduleSettings::default(),
            optimizer: AdamWSettings::default(),
            max_length: 1024,
            max_prompt_length: None,
            gradient_checkpointing: false,
            logging_steps: 10,
            eval_steps: None,
            save_steps: None,
            save_total_limit: None,
            seed: SEED,
        }
    }
}
