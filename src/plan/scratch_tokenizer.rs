//! The tokenizer of a model from random weights: copied from a folder, or trained on the recipe's rows.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::backend::new_file::copy;
use crate::data::spec::DataSpec;
use crate::data::{Ledger, Need, read_rows, split, train_tokenizer};
use crate::model::spec::TokenizerSpec;
use crate::plan::content::Hashes;
use crate::plan::model_files::{TOKENIZER_FILES, hash_tokenizer};
use crate::plan::resolve::Resolved;
use crate::template::ChatTemplate;

/// Where the tokenizer of random weights comes from.
pub enum TokenizerSource<'a> {
    Folder(PathBuf),
    Train { vocab_size: usize, data: &'a DataSpec, need: Need },
}

impl<'a> TokenizerSource<'a> {
    pub fn of(recipe: &'a Resolved, spec: &TokenizerSpec) -> Result<Self> {
        match spec {
            TokenizerSpec::Path(path) if path.is_dir() => Ok(Self::Folder(path.clone())),
            TokenizerSpec::Path(path) => match path.parent() {
                Some(folder) if path.file_name().is_some_and(|name| name == TOKENIZER_FILES[0]) => {
                    Ok(Self::Folder(folder.to_owned()))
                }
                _ => bail!("`{}` is neither a `tokenizer.json` nor a folder with one", path.display()),
            },
            TokenizerSpec::Train { vocab_size, data } => {
                let spec = recipe.data.get(data).with_context(|| format!("there is no data `{data}`"))?;
                // Rows are read as the first stage that uses them reads them.
                let user = recipe.stages.iter().find(|stage| stage.data == *data);
                let need = user.map_or(Need::Sft, |stage| stage.kind.facts().rows);
                Ok(Self::Train { vocab_size: *vocab_size, data: spec, need })
            }
        }
    }

    /// What the tokenizer follows from: file → content hash.
    pub fn content(&self, hashes: &mut Hashes) -> Result<BTreeMap<String, String>> {
        match self {
            Self::Folder(folder) => hash_tokenizer(folder, hashes),
            Self::Train { data, .. } => {
                let name =
                    |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
                let hash = |(i, file): (usize, &PathBuf)| {
                    Ok((format!("tokenizer data {} ({})", i + 1, name(file)), hashes.file(file)?))
                };
                data.files.iter().enumerate().map(hash).collect()
            }
        }
    }

    /// Writes the tokenizer's files into a folder that lives as long as the answer.
    pub fn write(&self, template: &ChatTemplate) -> Result<TempDir> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        match self {
            Self::Folder(from) => {
                copy_tokenizer(from, folder.path())?;
                template.write(folder.path())?;
            }
            Self::Train { vocab_size, data, need } => {
                let rows = read_rows(data, *need, &mut Ledger::new())?;
                let (train, _) = split(rows, data.eval_fraction);
                let texts: Vec<String> = train.iter().flat_map(|row| row.texts()).collect();
                train_tokenizer(&texts, *vocab_size, template.source(), folder.path())?;
            }
        }
        Ok(folder)
    }
}

/// Copies the tokenizer's files from one folder to another.
pub fn copy_tokenizer(from: &Path, to: &Path) -> Result<()> {
    for file in TOKENIZER_FILES.map(|name| (from.join(name), to.join(name))) {
        if file.0.exists() {
            copy(&file.0, &file.1).with_context(|| format!("cannot copy `{}`", file.0.display()))?;
        }
    }
    Ok(())
}
