//! A model's folder, opened: its config, and from the headers of its weights what every tensor in it
//! is for. What a check finds here and what a run loads come from this one place.

mod expected;
mod files;
pub mod generation;
mod stored;
mod unread;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use candle_core::Tensor;

pub use self::files::{SINGLE, has_weights, no_weights, weight_files};
use self::stored::Stored;
pub use self::unread::listed;
use super::config::Config;
use super::fault::{Fault, Faults};
use super::weight_table::{EMBEDDING, HEAD, Weight, weight_table};
use super::weights::Weights;
use crate::backend::header::read_header;
use crate::backend::weights_file::WeightFiles;

/// A model's folder whose weights are as `config.json` says, so that they will load.
#[derive(Debug, Clone)]
pub struct ModelFolder {
    path: PathBuf,
    pub config: Config,
    /// Whether it predicts tokens. One without has weights of a base model or of a classifier: enough
    /// to score with.
    pub has_head: bool,
    /// Weights of a reward model's or classifier's head that are among the model's.
    pub reward_heads: Vec<String>,
    /// What a person should know of the folder.
    pub warnings: Vec<String>,
    files: Vec<PathBuf>,
    /// The decoder's name of a weight → that in the files.
    names: BTreeMap<String, String>,
}

impl ModelFolder {
    /// Opens a folder without reading weights, but for a head beside a tied embedding, which is compared
    /// with it. Errors with [`Faults`]: all that keeps it from being loaded, or would make the loaded
    /// model another than that of the files.
    pub fn open(path: &Path) -> Result<Self> {
        let config = Config::read(path)?;
        let mut warnings = config.warnings.clone();
        let files = files::find(path, &mut warnings)?;
        let stored = read_headers(&files)?;
        for name in &stored.twice {
            let (file, _) = &stored.tensors[name];
            let file = files[*file].display();
            warnings.push(format!("`{name}` is in more than one file; that of `{file}` is read"));
        }
        let mut folder = ModelFolder {
            path: path.to_owned(),
            config,
            has_head: true,
            reward_heads: Vec::new(),
            warnings,
            files,
            names: BTreeMap::new(),
        };
        folder.match_names(&stored)?;
        Ok(folder)
    }

    /// Finds every weight of the decoder among the stored tensors, and says what the others are.
    fn match_names(&mut self, stored: &Stored) -> Result<()> {
        let mut expected = weight_table(&self.config);
        let wanted: BTreeSet<&str> = expected.iter().map(|weight| weight.name.as_str()).collect();
        for name in stored.tensors.keys() {
            let longer = format!("model.{name}");
            if wanted.contains(name.as_str()) {
                self.names.insert(name.clone(), name.clone());
            } else if wanted.contains(longer.as_str()) && !stored.tensors.contains_key(&longer) {
                self.names.insert(longer, name.clone());
            }
        }
        self.settle_head(&mut expected);
        let mut faults = expected::check(&expected, &self.names, stored, &self.files, &self.path);
        let read: BTreeSet<&str> = self.names.values().map(String::as_str).collect();
        let others = stored.tensors.keys().map(String::as_str).filter(|name| !read.contains(name));
        let unread = unread::sort(others, &self.config, &self.path);
        faults.extend(unread.faults);
        Faults::none_of(faults)?;
        self.warnings.extend(unread.warnings);
        self.reward_heads = unread.reward_heads;
        if self.config.tie_word_embeddings && self.names.contains_key(HEAD) {
            self.settle_tie()?;
        }
        Ok(())
    }

    /// A tied table may go by the head's name alone; a head that is not tied may be missing.
    fn settle_head(&mut self, expected: &mut Vec<Weight>) {
        let [has_embedding, has_head] = [EMBEDDING, HEAD].map(|name| self.names.contains_key(name));
        let is_tied = self.config.tie_word_embeddings;
        if is_tied && has_head && !has_embedding {
            self.names.remove(HEAD);
            self.names.insert(EMBEDDING.to_owned(), HEAD.to_owned());
        }
        self.has_head = is_tied || has_head;
        if !self.names.contains_key(HEAD) {
            expected.retain(|weight| weight.name != HEAD);
        }
    }

    /// Unties a head that differs from the embedding it should be tied to, as transformers 5 does.
    fn settle_tie(&mut self) -> Result<()> {
        if self.open_files()?.are_equal(&self.names[EMBEDDING], HEAD)? {
            self.names.remove(HEAD);
            return Ok(());
        }
        self.config.untie();
        self.warnings.push(format!(
            "`{}` has a `{HEAD}` that differs from `{EMBEDDING}`, though `tie_word_embeddings` of `config.json` ties them: \
             they are not tied, as in transformers; set `\"tie_word_embeddings\": false` to say so",
            self.path.display()
        ));
        Ok(())
    }

    fn open_files(&self) -> Result<WeightFiles> {
        WeightFiles::open(&self.files)
            .with_context(|| format!("cannot read the weights in `{}`", self.path.display()))
    }

    /// The weights, ready to be read.
    pub fn weights(&self) -> Result<FolderWeights<'_>> {
        Ok(FolderWeights { folder: self, files: self.open_files()? })
    }

    /// Why the model cannot predict tokens; `None` if it can.
    pub fn headless(&self) -> Option<Fault> {
        (!self.has_head).then(|| {
            let config = match self.config.raw.get("tie_word_embeddings") {
                Some(_) => "`config.json` says `\"tie_word_embeddings\": false`",
                None => "`config.json` has no `tie_word_embeddings`, so it is false",
            };
            let message = format!(
                "the model folder `{}` has no `{HEAD}`, and {config}: it cannot predict tokens",
                self.path.display()
            );
            Fault::new(message).with_help(
                "set `\"tie_word_embeddings\": true` in `config.json` if the head is the embedding's table; \
                 otherwise get the model with its head (weights of a base model or of a classifier are enough \
                 for reward models alone)",
            )
        })
    }
}

fn read_headers(files: &[PathBuf]) -> Result<Stored, Faults> {
    let mut stored = Stored::default();
    let mut faults = Vec::new();
    for (index, file) in files.iter().enumerate() {
        match read_header(file) {
            Ok(tensors) => {
                for (name, tensor) in tensors {
                    if stored.tensors.insert(name.clone(), (index, tensor)).is_some() {
                        stored.twice.insert(name);
                    }
                }
            }
            Err(error) => faults.push(Fault::new(format!("{error:#}"))),
        }
    }
    Faults::none_of(faults)?;
    Ok(stored)
}

/// The weights of a model's folder.
pub struct FolderWeights<'a> {
    folder: &'a ModelFolder,
    files: WeightFiles,
}

impl Weights for FolderWeights<'_> {
    fn get(&self, name: &str, shape: &[usize]) -> Result<Tensor> {
        let path = self.folder.path.display();
        let Some(stored) = self.folder.names.get(name) else { bail!("`{path}` has no weight `{name}`") };
        let tensor = self.files.stored(stored).with_context(|| format!("weight `{stored}` in `{path}`"))?;
        let found = tensor.dims();
        ensure!(found == shape, "weight `{stored}` in `{path}` is {found:?}; config.json makes it {shape:?}");
        Ok(tensor)
    }

    fn has(&self, name: &str) -> bool {
        self.folder.names.contains_key(name)
    }
}
