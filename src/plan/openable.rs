//! Whether a run will be able to open a model: configurations and the headers of weights are read, the
//! weights are not. What passes here can fail in a run only because of the machine.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::backend::header::read_header;
use crate::model::artifact::Artifact;
use crate::model::config::Config;
use crate::model::fault::Fault;
use crate::model::folder::{ModelFolder, listed, weight_files};
use crate::model::tuner::adapter::{Adapter, CONFIG, Places, WEIGHTS};
use crate::model::value_head::{FILE as VALUE_HEAD, SCORE, StoredHead, WEIGHT};

/// What a stage does with a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModelUse {
    /// It answers, or its answers' probabilities are asked for.
    Generates,
    /// Its trunk is trained, with a new head or with its own.
    Trunk,
    /// It scores: it must have a head for that.
    Scores,
}

/// A model as the headers of its files describe it.
#[derive(Debug, Clone)]
pub struct Opened {
    pub config: Config,
    pub adapter: Option<(Adapter, Places)>,
    pub head: Option<StoredHead>,
}

impl Opened {
    /// What is not read, and why that does no harm.
    pub fn warnings(&self) -> Vec<String> {
        let of_adapter = self.adapter.iter().flat_map(|(_, places)| &places.warnings);
        let of_adapter = of_adapter.map(|warning| format!("the adapter's {warning}"));
        of_adapter.chain(self.head.as_ref().and_then(StoredHead::warning)).collect()
    }

    /// Errors if a lora stage cannot train the adapter further.
    pub fn check_continued(&self) -> Result<()> {
        let Some((adapter, places)) = &self.adapter else { return Ok(()) };
        match places.only_frozen(&adapter.config) {
            Some(why) => bail!("`{}`: {why}", adapter.file.display()),
            None => Ok(()),
        }
    }
}

/// Opens a model for a use. Errors, which name file and tensor, on anything that a run could not load.
pub fn check(artifact: &Artifact, used: ModelUse) -> Result<Opened> {
    let base = &artifact.base;
    if let Some(adapter) = &artifact.adapter
        && !base.is_dir()
    {
        bail!(
            "the adapter `{}` is for the base `{}`, and there is no such folder; set \
             `base_model_name_or_path` of its `adapter_config.json` to where the base lies",
            adapter.display(),
            base.display()
        )
    }
    if used == ModelUse::Scores && artifact.head.is_none() {
        check_readable(artifact)?;
        bail!(not_a_reward_model(artifact.adapter.as_ref().unwrap_or(base)))
    }
    let ModelFolder { config, has_head, .. } = ModelFolder::open(base)?;
    ensure!(
        used != ModelUse::Generates || has_head,
        "`{}` is a reward model without a head for tokens (`lm_head.weight`): it cannot answer",
        base.display()
    );
    let adapter = artifact.adapter.as_deref().map(|folder| places(folder, &config, has_head)).transpose()?;
    let head = artifact.head.as_deref().filter(|_| used != ModelUse::Generates);
    let head = head.map(|path| find_head(path, Some(&config))).transpose()?;
    Ok(Opened { config, adapter, head })
}

/// Whether a folder has the files of an adapter.
pub fn is_adapter(folder: &Path) -> bool {
    [CONFIG, WEIGHTS].iter().all(|name| folder.join(name).is_file())
}

/// Opens an adapter and finds its tensors' places.
pub fn places(folder: &Path, config: &Config, has_head: bool) -> Result<(Adapter, Places)> {
    let adapter = Adapter::open(folder)?;
    let places = adapter.places(config, has_head)?;
    Ok((adapter, places))
}

/// The head in a file. Errors if there is none, or one that gives no single score to a model of `config`.
pub fn find_head(path: &Path, config: Option<&Config>) -> Result<StoredHead> {
    let head = StoredHead::find(path)?.with_context(|| format!("`{}` has no value head", path.display()))?;
    let hidden = config.map_or(head.shape().last().copied().unwrap_or_default(), |config| config.hidden_size);
    head.fits(hidden).with_context(|| format!("the head `{}`", path.display()))?;
    Ok(head)
}

/// What to say of a folder that has no head.
pub fn not_a_reward_model(folder: &Path) -> String {
    format!(
        "`{}` is no reward model: it has no `{VALUE_HEAD}`, and its weights have no `score.weight`",
        folder.display()
    )
}

/// What is wrong with a model whose head a stage would train further, if its weights have tensors of a head
/// that cannot be read: a new head would take its place.
pub fn foreign_head(folder: &Path, reward_heads: &[String]) -> Option<Fault> {
    (!reward_heads.is_empty()).then(|| {
        let message = format!(
            "`{}` has the head of a reward model or classifier, and none that can be read: {}; an rm stage would \
             start with random weights in its place",
            folder.display(),
            listed(reward_heads.iter().map(String::as_str))
        );
        Fault::new(message).with_help(format!(
            "a head is one matrix [1, hidden] called `{SCORE}` or `{WEIGHT}`: give it that name, in the weights or \
             in a file that `head` of `[model]` names; or take it out of the weights to start with a new one"
        ))
    })
}

/// What to say of a classifier without a head, from which an rm stage starts.
pub fn lost_head(folder: &Path, config: &Config) -> Option<String> {
    (config.is_classifier() || config.is_token_classifier()).then(|| {
        format!(
            "`config.json` of `{}` is a classifier's, and its weights have no `{SCORE}`: the rm stage starts with a \
             new head of random weights",
            folder.display()
        )
    })
}

/// Errors if a file of weights is not whole.
pub fn check_readable(artifact: &Artifact) -> Result<()> {
    let adapter = artifact.adapter.as_ref().map(|folder| folder.join(WEIGHTS));
    for file in weight_files(&artifact.base)?.iter().chain(&adapter) {
        read_header(file)?;
    }
    Ok(())
}
