//! At which of a sequence's tokens its score is read: at the last one, but for sequence classifiers of
//! transformers, which read it at the last token that is not `pad_token_id`, padding or not.

use std::path::Path;

use anyhow::Result;

use super::artifact::Artifact;
use super::config::Config;
use super::tuner::adapter::AdapterConfig;
use super::value_head::{HeadFormat, StoredHead};

/// Whether a model is a sequence classifier: by its `config.json`, its adapter's `task_type` or its head.
pub fn is_classifier(config: &Config, adapter: Option<&Path>, head: Option<&Path>) -> Result<bool> {
    if config.is_classifier() {
        return Ok(true);
    }
    if let Some(adapter) = adapter
        && AdapterConfig::read(adapter)?.is_classifier
    {
        return Ok(true);
    }
    let head = head.map(StoredHead::find).transpose()?.flatten();
    Ok(head.is_some_and(|head| head.format == HeadFormat::Classifier))
}

/// The token that the scores of a model with this config pass over; `None`: they are those of the last token.
pub fn passed_over(model: &Artifact, config: &Config) -> Result<Option<u32>> {
    let is_classifier = is_classifier(config, model.adapter.as_deref(), model.head.as_deref())?;
    let pad = config.raw.get("pad_token_id").and_then(|id| id.as_u64());
    Ok(pad.filter(|_| is_classifier).and_then(|pad| u32::try_from(pad).ok()))
}
