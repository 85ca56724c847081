//! What a stage's result follows from, and its digest. Two runs of a stage with one fingerprint
//! have one result; that is what makes reuse safe.
//!
//! | enters | does not enter |
//! |---|---|
//! | the numerics version of the kind | the version of this program |
//! | `dtype`, unless it is `f32` | `device`: a stage that ran on the CPU is done on a GPU too |
//! | every setting that steers training | `logging_steps`, `eval_steps`, `save_steps`, `save_total_limit`, `num_sample_generations`, `local_rollout_forward_batch_size` |
//! | how data is read: format, columns, `eval_fraction`, `limit` | names and places of data files, `max_bad_rows`, `max_dropped`, `max_row_bytes` |
//! | content of data files, in order | modification times |
//! | content of the base: config, weights, tokenizer, adapter, what goes with a result (`generation_config.json`); its value head, for stages that read it | its path |
//! | content of a reward model in a folder | its path |
//! | for random weights: shape, seed, what the tokenizer is trained on | |
//! | the text of every chat template, `chat_template_kwargs` | where it came from |
//! | the fingerprints of the stages that it starts from or compares with | where their results lie |
//! | the stage's name (it seeds random numbers) | thread count, machine, wall clock, also where a template tells it |

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::backend::compute::Dtype;
use crate::batch::BatchSettings;
use crate::kinds::{Fields, Role, StageSettings};
use crate::model::tuner::{LoraSettings, TargetModule, TargetModules, TargetPreset, Tuner};
use crate::optim::adamw::AdamWSettings;
use crate::optim::schedule::ScheduleSettings;
use crate::train::TrainingSettings;

/// Everything that enters a fingerprint, kept so that a stale stage can say what changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    pub numerics: u32,
    /// Dotted key, as in the recipe → value.
    pub settings: BTreeMap<String, Value>,
    pub data: DataContent,
    /// `config.json`, `model.safetensors`, `chat template` … → content hash.
    pub model: BTreeMap<String, String>,
    /// Role (`policy`, `reference`, `reward`) → the stage it comes from.
    pub stages: BTreeMap<String, StageInput>,
    /// The time that a template printed, if it prints one; a resumed stage prints the same. Not hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
}

/// The files of a data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataContent {
    /// For messages; not hashed.
    pub name: String,
    pub files: Vec<FileContent>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileContent {
    /// For messages; not hashed.
    pub name: String,
    pub hash: String,
}

/// A stage that another one reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageInput {
    pub name: String,
    pub fingerprint: String,
}

impl Inputs {
    /// blake3 over all that is hashed, in hex.
    pub fn fingerprint(&self) -> serde_json::Result<String> {
        let data: Vec<&str> = self.data.files.iter().map(|file| file.hash.as_str()).collect();
        // Maps are sorted and sequences are in order, so the text is the same for the same inputs.
        let hashed = (self.numerics, &self.settings, data, &self.model, &self.stages);
        Ok(blake3::hash(&serde_json::to_vec(&hashed)?).to_hex().to_string())
    }
}

/// The settings of a stage that enter its fingerprint, `dtype` among them, and its kind's numerics
/// version. A new field does not compile until it is said here, or in its kind's file, whether it counts.
pub fn settings(stage: &StageSettings, dtype: Dtype) -> serde_json::Result<(u32, BTreeMap<String, Value>)> {
    let StageSettings { name, data: _, policy, kind, training } = stage;
    let mut fields = Fields::default();
    fields.add("model.dtype", Some(dtype.name()).filter(|_| dtype != Dtype::default()))?;
    fields.add("name", name)?;
    fields.add_source(Role::Policy, policy)?;
    fields.add("kind", kind.name())?;
    kind.add_fields(&mut fields)?;
    add_training(training, &mut fields)?;
    Ok((kind.facts().numerics, fields.0))
}

fn add_training(training: &TrainingSettings, fields: &mut Fields) -> serde_json::Result<()> {
    let TrainingSettings {
        tuner,
        batches,
        schedule,
        optimizer,
        max_length,
        max_prompt_length,
        gradient_checkpointing,
        logging_steps: _,    // what is printed
        eval_steps: _,       // what is printed
        save_steps: _,       // what is kept
        save_total_limit: _, // what is kept
        seed,
    } = training;
    let BatchSettings { batch_size, gradient_accumulation_steps, num_train_epochs, max_steps, shuffle } =
        batches;
    let ScheduleSettings { learning_rate, lr_scheduler_type, min_lr_rate, warmup_ratio, warmup_steps } =
        schedule;
    let AdamWSettings { weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm } = optimizer;
    fields.add("tuner", tuner.name())?;
    match tuner {
        Tuner::Full => {}
        Tuner::Lora(LoraSettings { rank, alpha, dropout, target_modules, rslora }) => {
            fields.add("lora.rank", rank)?;
            fields.add("lora.alpha", alpha)?;
            fields.add("lora.dropout", dropout)?;
            match target_modules {
                TargetModules::Preset(TargetPreset::All) => fields.add("lora.target_modules", "all")?,
                TargetModules::Preset(TargetPreset::Default) => {
                    fields.add("lora.target_modules", "default")?
                }
                TargetModules::List(modules) => {
                    let names: Vec<&str> = modules.iter().copied().map(TargetModule::name).collect();
                    fields.add("lora.target_modules.list", names)?;
                }
            }
            fields.add("lora.rslora", rslora)?;
        }
    }
    fields.add("batch_size", batch_size)?;
    fields.add("gradient_accumulation_steps", gradient_accumulation_steps)?;
    fields.add("num_train_epochs", num_train_epochs)?;
    fields.add("max_steps", max_steps)?;
    fields.add("learning_rate", learning_rate)?;
    fields.add("lr_scheduler_type", lr_scheduler_type)?;
    fields.add("min_lr_rate", min_lr_rate)?;
    match warmup_ratio {
        Some(ratio) => fields.add("warmup.ratio", ratio)?,
        None => fields.add("warmup.steps", warmup_steps)?,
    }
    fields.add("weight_decay", weight_decay)?;
    fields.add("adam_beta1", adam_beta1)?;
    fields.add("adam_beta2", adam_beta2)?;
    fields.add("adam_epsilon", adam_epsilon)?;
    fields.add("max_grad_norm", max_grad_norm)?;
    fields.add("max_length", max_length)?;
    fields.add("max_prompt_length", max_prompt_length)?;
    fields.add("gradient_checkpointing", gradient_checkpointing)?;
    fields.add("shuffle", shuffle)?;
    fields.add("seed", seed)
}

/// Adds `value` under `key`, tables as dotted keys. What is off is left out, so that a key which a
/// later version adds, off by default, changes no fingerprint.
pub fn flatten(key: &str, value: Value, flat: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (inner, value) in table {
                let inner = if key.is_empty() { inner } else { format!("{key}.{inner}") };
                flatten(&inner, value, flat);
            }
        }
        Value::Null => {}
        value => {
            flat.insert(key.to_owned(), value);
        }
    }
}
