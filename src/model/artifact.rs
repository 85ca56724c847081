//! A model on the disk: a base folder, and an adapter and a head where there are some.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::tuner::adapter::{CONFIG, WEIGHTS};
use super::value_head::{FILE as VALUE_HEAD, StoredHead, is_head};
use crate::data::hub::{self, RepoKind};
use crate::json_file;

/// A model on the disk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Folder in Hugging Face layout.
    pub base: PathBuf,
    /// Folder in PEFT layout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter: Option<PathBuf>,
    /// Safetensors file with a head that scores: `value_head.safetensors` of a reward model, the weights
    /// of a sequence classifier or of an adapter of one, or `head` of `[model]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<PathBuf>,
}

impl Artifact {
    /// A model that lies in a folder of its own: a whole model, or an adapter whose configuration names
    /// its base; with a head where there is one.
    pub fn of_folder(folder: &Path) -> Self {
        let config = json_file::read(&folder.join(CONFIG)).ok();
        let base = config.as_ref().and_then(|config| config["base_model_name_or_path"].as_str());
        match base {
            Some(base) => Self::of(base_of(folder, base), Some(folder.to_owned())),
            None => Self::of(folder.to_owned(), None),
        }
    }

    /// A model with the head that lies in its adapter's folder, or else in its base's.
    pub fn of(base: PathBuf, adapter: Option<PathBuf>) -> Self {
        let head = adapter.as_deref().and_then(head_in).or_else(|| head_in(&base));
        Artifact { base, adapter, head }
    }
}

/// The base that an adapter names: a folder relative to its own, or to the one that the command was given
/// in, or a model of the hub that is in the local cache.
fn base_of(adapter: &Path, name: &str) -> PathBuf {
    let beside = adapter.join(name);
    let here = PathBuf::from(name);
    let cached = || hub::snapshot(&hub::cache().ok()?, name, RepoKind::Model).ok();
    match (beside.is_dir(), here.is_dir()) {
        (true, _) => beside,
        (false, true) => here,
        (false, false) => cached().unwrap_or(beside),
    }
}

/// The file with a head in a model's or adapter's folder: `value_head.safetensors`, or the weights that
/// have one among them. What cannot be read has none; whoever opens the weights will say why.
pub fn head_in(folder: &Path) -> Option<PathBuf> {
    let own = folder.join(VALUE_HEAD);
    if own.is_file() {
        return Some(own);
    }
    let index = json_file::read(&folder.join("model.safetensors.index.json")).ok();
    let map = index.as_ref().and_then(|index| index["weight_map"].as_object());
    let shards = map.into_iter().flatten().filter(|(name, _)| is_head(name));
    let shards = shards.filter_map(|(_, file)| file.as_str());
    let files = [WEIGHTS, "model.safetensors"].into_iter().chain(shards);
    let mut files = files.map(|name| folder.join(name)).filter(|path| path.is_file());
    files.find(|path| StoredHead::find(path).is_ok_and(|head| head.is_some()))
}
