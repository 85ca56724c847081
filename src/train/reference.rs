//! Log-probabilities of the reference policy: computed once an answer, before training, and kept in
//! the run's folder in one file a model. Stages that compare with the same model share them, and so do
//! a stage's resumed runs. An answer is known by a digest of its tokens.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use candle_core::{Device, Tensor};

use super::Progress;
use super::answer::Answer;
use super::row::Split;
use super::trainer::Trainer;
use crate::backend::storage::with_bytes;
use crate::backend::weights_file::write_tensors;
use crate::batch::{Ask, BatchPolicy};
use crate::data::example::{Branch, Family};
use crate::model::artifact::Artifact;
use crate::model::decoder::Decoder;
use crate::model::policy::Models;
use crate::model::weights::for_each_weight;

/// Raised when the engine's log-probabilities change.
const NUMERICS: u32 = 1;

/// What is known is written at least this often.
const WRITTEN_EVERY: Duration = Duration::from_secs(60);

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
    /// One number a branch of that row, nats.
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

    /// One number a branch of that held-out row, nats.
    pub fn held_out_row(&self, row: usize) -> Result<&[f64]> {
        self.row(Split::HeldOut, row)
    }

    /// Those of the training rows `seen` and of all held-out rows: read where `folder` has them, else
    /// computed and kept there. With `ld_alpha`, tokens past [`shared_tokens`] weigh that much.
    pub fn obtain(
        folder: &Path,
        decoder: &Decoder,
        batches: BatchPolicy,
        (seen, train, held_out): (&[usize], &[Family], &[Family]),
        ld_alpha: Option<f64>,
        progress: &mut Progress,
    ) -> Result<Self> {
        let families: Vec<&Family> = seen.iter().map(|&row| &train[row]).chain(held_out).collect();
        let mut store = Store::open(folder, decoder)?;
        let split = |family: &Family| ld_alpha.map(|_| shared_tokens(family));
        store.complete(decoder, batches, &families, &split, progress)?;
        let alpha = ld_alpha.unwrap_or(1.0);
        let of = |family: &&Family| -> Vec<f64> {
            let sums = family.branches.iter().map(|branch| store.get(family, branch, split(family)));
            sums.map(|[first, rest]| first + alpha * rest).collect()
        };
        let (train, held_out) = families.split_at(seen.len());
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
pub fn shared_tokens(family: &Family) -> usize {
    let trained = |branch: &Branch| branch.trained.iter().filter(|trained| **trained).count();
    family.branches.iter().map(trained).min().unwrap_or(0)
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
        let sums = read(&path, &model).unwrap_or_default();
        Ok(Store { path, model, sums })
    }

    fn get(&self, family: &Family, branch: &Branch, split: Option<usize>) -> LogProbSums {
        self.sums.get(&digest(family, branch, split)).copied().unwrap_or_default()
    }

    /// Computes what is missing, and writes the file if anything was.
    fn complete(
        &mut self,
        decoder: &Decoder,
        batches: BatchPolicy,
        families: &[&Family],
        split: &dyn Fn(&Family) -> Option<usize>,
        progress: &mut Progress,
    ) -> Result<()> {
        let is_missing = |family: &Family, branch: &Branch| {
            !self.sums.contains_key(&digest(family, branch, split(family)))
        };
        let missing: Vec<(Family, Option<usize>)> = families
            .iter()
            .map(|family| {
                let branches = family.branches.iter().filter(|branch| is_missing(family, branch));
                let branches = branches.cloned().collect();
                (Family { branches, prompt: family.prompt.clone(), ..Family::default() }, split(family))
            })
            .filter(|(family, _)| !family.branches.is_empty())
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let families: Vec<&Family> = missing.iter().map(|(family, _)| family).collect();
        let mut written = Instant::now();
        for pass in batches.passes(&families) {
            if let Err(error) = progress(pass.start as u64, families.len() as u64) {
                self.write()?;
                return Err(error);
            }
            if written.elapsed() > WRITTEN_EVERY {
                self.write()?;
                written = Instant::now();
            }
            let (batch, found) = batches.log_probs(decoder, &families[pass.clone()], Ask::Answers, 1.0)?;
            for ((family, split), targets) in missing[pass].iter().zip(&batch.families) {
                for (branch, targets) in family.branches.iter().zip(&targets.branches) {
                    let middle = split.map_or(targets.end, |first| (targets.start + first).min(targets.end));
                    let sums = [targets.start..middle, middle..targets.end];
                    let sums = sums.map(|targets| Answer::of(&found, targets).log_prob);
                    self.sums.insert(digest(family, branch, *split), sums);
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
        let tensors = BTreeMap::from([
            ("answers", Tensor::from_vec(digests, (n, DIGEST), &Device::Cpu)?),
            ("log_probs", Tensor::from_vec(sums, (n, 2), &Device::Cpu)?),
        ]);
        let metadata = HashMap::from([("model".to_string(), self.model.clone())]);
        let folder = self.path.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).with_context(context)?;
        write_tensors(tensors.iter(), metadata, &self.path).with_context(context)
    }
}

/// `None` if the file is missing, is another model's, or does not read.
fn read(path: &Path, model: &str) -> Option<BTreeMap<Digest, LogProbSums>> {
    let bytes = std::fs::read(path).ok()?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).ok()?;
    if header.metadata().as_ref()?.get("model")? != model {
        return None;
    }
    let tensors = safetensors::SafeTensors::deserialize(&bytes).ok()?;
    let digests = tensors.tensor("answers").ok()?;
    let sums = tensors.tensor("log_probs").ok()?;
    let number = |bytes: &[u8]| Some(f64::from_le_bytes(bytes.try_into().ok()?));
    let rows = digests.data().chunks_exact(DIGEST).zip(sums.data().chunks_exact(16));
    rows.map(|(digest, sums)| Some((digest.try_into().ok()?, [number(&sums[..8])?, number(&sums[8..])?])))
        .collect()
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

fn digest(family: &Family, branch: &Branch, split: Option<usize>) -> Digest {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(split.unwrap_or(usize::MAX) as u64).to_le_bytes());
    hasher.update(&(family.prompt.len() as u64).to_le_bytes());
    for token in family.prompt.iter().chain(&branch.tokens) {
        hasher.update(&token.to_le_bytes());
    }
    hasher.update(&branch.trained.iter().map(|&t| u8::from(t)).collect::<Vec<_>>());
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
        let branch =
            |tokens: &[u32], trained: &[bool]| Branch { tokens: tokens.into(), trained: trained.into() };
        let family = |prompt: &[u32]| Family { prompt: prompt.into(), ..Family::default() };
        let digests = [
            digest(&family(&[1, 2]), &branch(&[3], &[true]), None),
            digest(&family(&[1]), &branch(&[2, 3], &[true, true]), None),
            digest(&family(&[1]), &branch(&[2, 3], &[false, true]), None),
            digest(&family(&[1]), &branch(&[2, 3], &[true, true]), Some(1)),
        ];
        let different: std::collections::BTreeSet<_> = digests.iter().collect();
        assert_eq!(different.len(), digests.len());
    }
}
