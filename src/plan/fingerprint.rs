//! What a stage's result follows from, and its digest. Two runs of a stage with one fingerprint
//! have one result; that is what makes reuse safe.
//!
//! | enters | does not enter |
//! |---|---|
//! | the numerics version of the kind | the version of this program |
//! | `dtype`, unless it is `f32` | `device`: a stage that ran on the CPU is done on a GPU too |
//! | every setting that steers training | `logging_steps`, `eval_steps`, `save_steps`, `save_total_limit`, `num_sample_generations`, `local_rollout_forward_batch_size` |
//! | how data is read: format, columns, `eval_fraction`, `limit` | names and places of data files, `max_bad_rows`, `max_dropped` |
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
use crate::plan::settings::{KindSettings, StageSettings};

/// Keys of a stage that decide what is told and kept, or how fast it goes, not what is computed; and
/// where a reward model lies, of which the content counts.
const NOT_NUMERIC: [&str; 7] = [
    "logging_steps",
    "eval_steps",
    "save_steps",
    "save_total_limit",
    "num_sample_generations",
    "local_rollout_forward_batch_size",
    "reward.folder",
];

/// Bumped whenever a change to the code changes the results of a kind.
fn numerics(kind: &KindSettings) -> u32 {
    match kind {
        KindSettings::Sft
        | KindSettings::Rm(_)
        | KindSettings::Ppo(_)
        | KindSettings::Dpo(_)
        | KindSettings::Kto(_)
        | KindSettings::Cpo(_)
        | KindSettings::Orpo(_)
        | KindSettings::Simpo(_) => 1,
    }
}

/// Everything that enters a fingerprint, kept so that a stale stage can say what changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Inputs {
    pub numerics: u32,
    /// Dotted key, as in the recipe → value.
    pub settings: BTreeMap<String, Value>,
    pub data: DataContent,
    /// `config.json`, `model.safetensors`, `chat template` … → content hash.
    pub model: BTreeMap<String, String>,
    /// `policy`, `reference`, `reward` → the stage it comes from.
    pub stages: BTreeMap<String, StageInput>,
    /// What a template that tells the time told; a resumed stage is told the same. Not hashed.
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
/// version.
pub fn settings(stage: &StageSettings, dtype: Dtype) -> serde_json::Result<(u32, BTreeMap<String, Value>)> {
    let mut flat = BTreeMap::new();
    if dtype != Dtype::default() {
        flat.insert("model.dtype".to_owned(), Value::from(dtype.name()));
    }
    flat.insert("name".to_owned(), Value::from(stage.name.clone()));
    let tuner = if stage.training.lora.is_some() { "lora" } else { "full" };
    flat.insert("tuner".to_owned(), Value::from(tuner));
    flatten("policy", serde_json::to_value(&stage.policy)?, &mut flat);
    flatten("", serde_json::to_value(&stage.kind)?, &mut flat);
    flatten("", serde_json::to_value(&stage.training)?, &mut flat);
    flat.retain(|key, _| !NOT_NUMERIC.contains(&key.as_str()));
    Ok((numerics(&stage.kind), flat))
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
