//! Log-probabilities of the reference policy: computed once a row, before training, and stored next
//! to the stage under a key of weights and tokens.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use anyhow::{Context, Result};
use candle_core::{Device, Tensor};

use super::Progress;
use super::trainer::Trainer;
use crate::data::example::Family;
use crate::model::decoder::Decoder;
use crate::model::weights::named_weights;

/// Summed log-probability of each answer, nats.
#[derive(Debug, Clone, PartialEq)]
pub struct Reference {
    /// Answers of training row i, if the stage sees that row.
    train: HashMap<usize, Vec<f64>>,
    /// Answers of each held-out row.
    eval: Vec<Vec<f64>>,
}

impl Reference {
    /// `[chosen, rejected]` of a training row.
    pub fn train_row(&self, row: usize) -> Result<[f64; 2]> {
        pair(self.train.get(&row).map_or(&[], Vec::as_slice))
            .with_context(|| format!("training row {row} has no reference log-probs"))
    }

    /// `[chosen, rejected]` of a held-out row.
    pub fn eval_row(&self, row: usize) -> Result<[f64; 2]> {
        pair(self.eval.get(row).map_or(&[], Vec::as_slice))
            .with_context(|| format!("held-out row {row} has no reference log-probs"))
    }

    /// Reads `file` if it was made from these weights and tokens, else computes and writes it.
    pub fn obtain(
        file: &Path,
        decoder: &Decoder,
        trainer: &Trainer,
        seen: &[usize],
        progress: &mut Progress,
    ) -> Result<Self> {
        let families: Vec<&Family> = seen.iter().map(|&r| &trainer.train[r]).chain(&trainer.eval).collect();
        let key = key(decoder, &families)?;
        let answers = match read(file, &key, &families) {
            Some(answers) => answers,
            None => {
                let answers = compute(decoder, trainer, &families, progress)?;
                write(file, &key, &answers)?;
                answers
            }
        };
        let (train, eval) = answers.split_at(seen.len());
        let train = seen.iter().copied().zip(train.iter().cloned()).collect();
        Ok(Reference { train, eval: eval.to_vec() })
    }
}

fn pair(answers: &[f64]) -> Option<[f64; 2]> {
    answers.try_into().ok()
}

fn compute(
    decoder: &Decoder,
    trainer: &Trainer,
    families: &[&Family],
    progress: &mut Progress,
) -> Result<Vec<Vec<f64>>> {
    let mut answers = Vec::with_capacity(families.len());
    for pass in trainer.passes(families) {
        progress(pass.start as u64, families.len() as u64)?;
        let pass = &families[pass];
        let (batch, found) = trainer.log_probs(decoder, pass)?;
        let sums: Vec<f64> = batch.branches.iter().map(|b| found.log_prob[b.clone()].iter().sum()).collect();
        let mut rest = sums.as_slice();
        for family in pass {
            let (own, others) = rest.split_at(family.branches.len());
            answers.push(own.to_vec());
            rest = others;
        }
    }
    Ok(answers)
}

/// A hash of all weights and of all tokens and what is trained of them.
fn key(decoder: &Decoder, families: &[&Family]) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    for (name, weight) in named_weights(decoder)? {
        hasher.update(name.as_bytes());
        let values = crate::backend::storage::view(&weight)?;
        hasher.update(bytemuck::cast_slice(&values));
    }
    for family in families {
        hasher.update(&(family.prompt.len() as u64).to_le_bytes());
        hasher.update(&le_bytes(&family.prompt));
        for branch in &family.branches {
            hasher.update(&(branch.tokens.len() as u64).to_le_bytes());
            hasher.update(&le_bytes(&branch.tokens));
            hasher.update(&branch.trained.iter().map(|&t| u8::from(t)).collect::<Vec<_>>());
        }
    }
    Ok(hasher.finalize().to_hex().to_string())
}

fn le_bytes(tokens: &[u32]) -> Vec<u8> {
    tokens.iter().flat_map(|t| t.to_le_bytes()).collect()
}

fn write(file: &Path, key: &str, answers: &[Vec<f64>]) -> Result<()> {
    let flat: Vec<f64> = answers.concat();
    let sums = Tensor::from_vec(flat.clone(), flat.len(), &Device::Cpu)?;
    let tensors = BTreeMap::from([("log_probs", sums)]);
    let metadata = HashMap::from([("key".to_string(), key.to_string())]);
    let folder = file.parent().unwrap_or(Path::new("."));
    let unfinished = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write in `{}`", folder.display()))?;
    safetensors::serialize_to_file(tensors.iter(), Some(metadata), unfinished.path())
        .with_context(|| format!("cannot write `{}`", file.display()))?;
    unfinished.persist(file).with_context(|| format!("cannot write `{}`", file.display()))?;
    Ok(())
}

/// `None` if the file is missing, was made from something else, or does not read.
fn read(file: &Path, key: &str, families: &[&Family]) -> Option<Vec<Vec<f64>>> {
    let bytes = std::fs::read(file).ok()?;
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).ok()?;
    if header.metadata().as_ref()?.get("key")? != key {
        return None;
    }
    let tensors = safetensors::SafeTensors::deserialize(&bytes).ok()?;
    let data = tensors.tensor("log_probs").ok()?;
    let mut values =
        data.data().chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()));
    let answers: Vec<Vec<f64>> =
        families.iter().map(|f| values.by_ref().take(f.branches.len()).collect()).collect();
    answers.iter().zip(families).all(|(a, f)| a.len() == f.branches.len()).then_some(answers)
}
