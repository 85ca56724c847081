//! Log-probabilities of the reference policy: computed once an answer, before training, and kept in
//! the run's folder in one file a model. Stages that compare with the same model share them, and so do
//! a stage's resumed runs. An answer is known by a digest of its tokens.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};

use super::Progress;
use super::completion_sums::CompletionSums;
use super::row::Split;
use super::trainer::Trainer;
use crate::backend::storage::with_bytes;
use crate::backend::weights_file::write_tensors;
use crate::batch::{BatchPolicy, TargetTokens};
use crate::data::example::{Completion, Example};
use crate::model::artifact::Artifact;
use crate::model::decoder::Decoder;
use crate::model::policy::Models;
use crate::model::weights::for_each_weight;

/// Raised when the engine's log-probabilities change.
const NUMERICS: u32 = 1;

/// What is known is written at least this often.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

/// The key of a file's metadata under which the digests of the model and of the content are.
const RECORD: &str = "record";

const DIGEST: usize = 32;
type Digest = [u8; DIGEST];

/// Summed log-probability of an answer's trained tokens, nats: of the first so many, and of the rest.
type LogProbSums = [f64; 2];

/// The reference's summed log-probabilities of a stage's answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Of the training rows that the stage sees.
    train: HashMap<usize, Vec<f64>>,
    held_out: Vec<Vec<f64>>,
}

impl Reference {
    /// One number per completion of that row, nats.
    pub fn row(&self, split: Split, row: usize) -> Result<&[f64]> {
        let found = match split {
            Split::Train => self.train.get(&row),
            Split::HeldOut => self.held_out.get(row),
        };
        match found {
            Some(found) => Ok(found),
            None => bail!("row {row} ({split:?}) has no reference log-probs"),
        }
    }

    /// Of training rows 0, 1, … in order.
    #[cfg(test)]
    pub fn of_train(rows: Vec<Vec<f64>>) -> Self {
        Reference { train: rows.into_iter().enumerate().collect(), held_out: Vec::new() }
    }

    /// One number per completion of that held-out row, nats.
    pub fn held_out_row(&self, row: usize) -> Result<&[f64]> {
        self.row(Split::HeldOut, row)
    }

    /// Those of the training rows `seen` and of all held-out rows: read where `folder` has them, else
    /// computed and kept there. With `ld_alpha`, tokens past [`shared_tokens`] weigh that much.
    pub fn obtain(
        folder: &Path,
        decoder: &Decoder,
        batches: BatchPolicy,
        (seen, train, held_out): (&[usize], &[Example], &[Example]),
        ld_alpha: Option<f64>,
        progress: &mut Progress,
    ) -> Result<Self> {
        let examples: Vec<&Example> = seen.iter().map(|&row| &train[row]).chain(held_out).collect();
        let mut store = Store::open(folder, decoder)?;
        let split = |example: &Example| ld_alpha.map(|_| shared_tokens(example));
        store.complete(decoder, batches, &examples, &split, progress)?;
        let alpha = ld_alpha.unwrap_or(1.0);
        let of = |example: &&Example| -> Vec<f64> {
            let sums =
                example.completions.iter().map(|completion| store.get(example, completion, split(example)));
            sums.map(|[first, rest]| first + alpha * rest).collect()
        };
        let (train, held_out) = examples.split_at(seen.len());
        let train = seen.iter().copied().zip(train.iter().map(of)).collect();
        Ok(Reference { train, held_out: held_out.iter().map(of).collect() })
    }
}

/// Those of a stage in training: of `other` if there is another reference than the policy as the stage
/// starts.
pub fn of_stage(
    trainer: &mut Trainer,
    other: Option<&Artifact>,
    ld_alpha: Option<f64>,
    folder: &Path,
    progress: &mut Progress,
) -> Result<Reference> {
    let compute = trainer.decoder().compute();
    let other = other.map(|artifact| Models::at(&compute).frozen(artifact)).transpose()?;
    let seen = trainer.rows_seen();
    let decoder = other.as_ref().unwrap_or(trainer.decoder());
    let rows = (seen.as_slice(), trainer.train.as_slice(), trainer.eval.as_slice());
    Reference::obtain(folder, decoder, trainer.batches, rows, ld_alpha, progress)
}

/// LD-DPO: trained tokens of the shorter answer.
pub fn shared_tokens(example: &Example) -> usize {
    let trained = |completion: &Completion| completion.trained.iter().filter(|trained| **trained).count();
    example.completions.iter().map(trained).min().unwrap_or(0)
}

/// The file of one model.
struct Store {
    path: PathBuf,
    /// Digest of the model.
    model: String,
    sums: BTreeMap<Digest, LogProbSums>,
}

impl Store {
    /// One that is not there, or does not read, counts as empty.
    fn open(folder: &Path, decoder: &Decoder) -> Result<Self> {
        let model = model_digest(decoder)?;
        let path = folder.join(format!("{}.safetensors", &model[..16]));
        let sums = read(&path, Some(&model)).unwrap_or_default();
        Ok(Store { path, model, sums })
    }

    fn get(&self, example: &Example, completion: &Completion, split: Option<usize>) -> LogProbSums {
        self.sums.get(&digest(example, completion, split)).copied().unwrap_or_default()
    }

    /// Computes what is missing, and writes the file if anything was.
    fn complete(
        &mut self,
        decoder: &Decoder,
        batches: BatchPolicy,
        examples: &[&Example],
        split: &dyn Fn(&Example) -> Option<usize>,
        progress: &mut Progress,
    ) -> Result<()> {
        let is_missing = |example: &Example, completion: &Completion| {
            !self.sums.contains_key(&digest(example, completion, split(example)))
        };
        let missing: Vec<(Example, Option<usize>)> = examples
            .iter()
            .map(|example| {
                let completions =
                    example.completions.iter().filter(|completion| is_missing(example, completion));
                let completions = completions.cloned().collect();
                (
                    Example { completions, prompt: example.prompt.clone(), ..Example::default() },
                    split(example),
                )
            })
            .filter(|(example, _)| !example.completions.is_empty())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let examples: Vec<&Example> = missing.iter().map(|(example, _)| example).collect();
        let mut written = Instant::now();
        for pass in batches.passes(&examples) {
            if let Err(error) = progress(pass.start as u64, examples.len() as u64) {
                self.write()?;
                return Err(error);
            }
            if written.elapsed() > WRITTEN_EVERY {
                self.write()?;
                written = Instant::now();
            }
            let (batch, found) =
                batches.log_probs(decoder, &examples[pass.clone()], TargetTokens::Completions, 1.0)?;
            for ((example, split), targets) in missing[pass].iter().zip(&batch.examples) {
                for (completion, targets) in example.completions.iter().zip(&targets.completions) {
                    let middle = split.map_or(targets.end, |first| (targets.start + first).min(targets.end));
                    let sums = [targets.start..middle, middle..targets.end];
                    let sums = sums.map(|targets| CompletionSums::of(&found, targets).log_prob);
                    self.sums.insert(digest(example, completion, *split), sums);
                }
            }
        }
        self.write()
    }

    fn write(&self) -> Result<()> {
        let context = || format!("cannot write `{}`", self.path.display());
        let n = self.sums.len();
        let digests: Vec<u8> = self.sums.keys().flatten().copied().collect();
        let sums: Vec<f64> = self.sums.values().flatten().copied().collect();
        let content = content_digest(&digests, bytemuck::cast_slice(&sums));
        let tensors = BTreeMap::from([
            ("answers", Tensor::from_vec(digests, (n, DIGEST), &Device::Cpu)?),
            ("log_probs", Tensor::from_vec(sums, (n, 2), &Device::Cpu)?),
        ]);
        // One entry, because several have no fixed order in the file.
        let record = format!("{} {content}", self.model);
        let metadata = HashMap::from([(RECORD.to_string(), record)]);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(context)?;
        write_tensors(tensors.iter(), metadata, &self.path).with_context(context)
    }
}

/// Deletes the files in `folder` whose log-probabilities are not those that were written, and returns their
/// paths. Files of versions that kept no digest of them are among those.
pub fn remove_damaged(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut damaged = Vec::new();
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(damaged) };
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list `{}`", folder.display()))?.path();
        if path.extension().is_some_and(|kind| kind == "safetensors") && read(&path, None).is_none() {
            std::fs::remove_file(&path).with_context(|| format!("cannot remove `{}`", path.display()))?;
            damaged.push(path);
        }
    }
    Ok(damaged)
}

/// `None` if the file is missing, is another model's than `model`, or is not what was written.
fn read(path: &Path, model: Option<&str>) -> Option<BTreeMap<Digest, LogProbSums>> {
    let bytes = std::fs::read(path).ok()?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).ok()?;
    let (written_for, content) = header.metadata().as_ref()?.get(RECORD)?.split_once(' ')?;
    if model.is_some_and(|model| model != written_for) {
        return None;
    }
    let tensors = safetensors::SafeTensors::deserialize(&bytes).ok()?;
    let digests = tensors.tensor("answers").ok()?;
    let sums = tensors.tensor("log_probs").ok()?;
    if content != content_digest(digests.data(), sums.data()) {
        return None;
    }
    let number = |bytes: &[u8]| Some(f64::from_le_bytes(bytes.try_into().ok()?));
    let rows = digests.data().chunks_exact(DIGEST).zip(sums.data().chunks_exact(16));
    rows.map(|(digest, sums)| Some((digest.try_into().ok()?, [number(&sums[..8])?, number(&sums[8..])?])))
        .collect()
}

/// A digest of a file's answers and their log-probabilities, as the bytes of their tensors.
fn content_digest(digests: &[u8], sums: &[u8]) -> String {
    blake3::Hasher::new().update(digests).update(sums).finalize().to_hex().to_string()
}

/// A digest of all that a model's log-probabilities follow from: its config and its weights.
fn model_digest(decoder: &Decoder) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&NUMERICS.to_le_bytes());
    hasher.update(serde_json::to_string(&decoder.config.raw)?.as_bytes());
    let mut add = |name: &str, weight: &Tensor| -> Result<()> {
        hasher.update(name.as_bytes());
        let bytes = |bytes: &[u8]| {
            hasher.update_rayon(bytes);
        };
        with_bytes(weight, bytes).with_context(|| format!("weight `{name}`"))
    };
    for_each_weight(decoder, &mut add)?;
    for (linear, lora) in decoder.linears().filter_map(|linear| Some((linear, linear.lora.as_ref()?))) {
        // merged weights in bf16 do not show all of an adapter
        if lora.merged.is_some() || lora.is_unchanged()? {
            continue;
        }
        add(&format!("{}.lora_A", linear.parts[0].module), lora.a.full())?;
        for part in &lora.parts {
            add(&format!("{}.lora_B", linear.parts[part.part].module), part.b.full())?;
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn digest(example: &Example, completion: &Completion, split: Option<usize>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(split.unwrap_or(usize::MAX) as u64).to_le_bytes());
    hasher.update(&(example.prompt.len() as u64).to_le_bytes());
    for token in example.prompt.iter().chain(&completion.tokens) {
        hasher.update(&token.to_le_bytes());
    }
    hasher.update(&completion.trained.iter().map(|&t| u8::from(t)).collect::<Vec<_>>());
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_its_weights_and_its_config() {
        let base = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/models/qwen2").into();
        let model = Models::default().frozen(&Artifact { base, ..Artifact::default() }).unwrap();
        let mut turned = model.clone();
        turned.config.raw["rope_theta"] = serde_json::json!(1234.5);
        assert_eq!(model_digest(&model).unwrap(), model_digest(&model.clone()).unwrap());
        assert_ne!(model_digest(&model).unwrap(), model_digest(&turned).unwrap());
    }

    #[test]
    fn an_answer_is_known_by_its_tokens_and_what_is_trained_of_them() {
        let completion =
            |tokens: &[u32], trained: &[bool]| Completion { tokens: tokens.into(), trained: trained.into() };
        let example = |prompt: &[u32]| Example { prompt: prompt.into(), ..Example::default() };
        let digests = [
            digest(&example(&[1, 2]), &completion(&[3], &[true]), None),
            digest(&example(&[1]), &completion(&[2, 3], &[true, true]), None),
            digest(&example(&[1]), &completion(&[2, 3], &[false, true]), None),
            digest(&example(&[1]), &completion(&[2, 3], &[true, true]), Some(1)),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }
}
