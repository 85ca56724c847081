//! Data sets that a recipe can use by name alone, without saying where they are or how their rows look. The
//! names are those of ms-swift.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use super::hub::{self, RepoKind};
use super::spec::Format;

/// A data set of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Named {
    pub name: &'static str,
    /// Repositories that hold it: the one on the Hugging Face hub, then ModelScope's copy.
    pub repos: &'static [&'static str],
    /// Patterns of its files in the repository. The first pattern that matches any file is used.
    pub files: &'static [&'static str],
    pub format: Format,
    /// Our column name → the file's.
    pub columns: &'static [(&'static str, &'static str)],
}

const NAMED: [Named; 3] = [
    Named {
        name: "shareai-llama3-dpo-zh-en-emoji",
        repos: &["shareAI/DPO-zh-en-emoji", "hjh0119/shareAI-Llama3-DPO-zh-en-emoji"],
        files: &["*.jsonl", "*.json", "**/*.parquet"],
        format: Format::Preference,
        columns: &[("prompt", "question"), ("chosen", "answer_zh"), ("rejected", "answer_en")],
    },
    Named {
        name: "hh-rlhf-cn-harmless-base-cn",
        repos: &["dikw/hh_rlhf_cn", "AI-ModelScope/hh_rlhf_cn"],
        files: &["harmless_base_cn_train.jsonl", "harmless_base_cn/*train*", "harmless_base_cn/*"],
        format: Format::Preference,
        columns: &[("prompt", "context"), ("chosen", "chosen.text"), ("rejected", "rejected.text")],
    },
    Named {
        name: "ultrafeedback-kto",
        repos: &[
            "argilla/ultrafeedback-binarized-preferences-cleaned-kto",
            "AI-ModelScope/ultrafeedback-binarized-preferences-cleaned-kto",
        ],
        files: &["data/train-*.parquet", "*.parquet", "*.jsonl"],
        format: Format::Unpaired,
        columns: &[],
    },
];

/// The data set of that name.
pub fn named(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|set| set.name == name)
}

/// The names that are known, for suggestions.
pub fn names() -> impl Iterator<Item = &'static str> {
    NAMED.iter().map(|set| set.name)
}

impl Named {
    /// Its files in the local cache. Errors if none of its repositories is there; the error gives the
    /// command that downloads it.
    pub fn cached(&self) -> Result<Vec<PathBuf>> {
        self.cached_in(&hub::cache()?)
    }

    /// Its files in the cache at `cache`.
    pub fn cached_in(&self, cache: &Path) -> Result<Vec<PathBuf>> {
        let snapshots: Vec<Result<PathBuf>> =
            self.repos.iter().map(|repo| hub::snapshot(cache, repo, RepoKind::Dataset)).collect();
        for folder in snapshots.iter().flatten() {
            for pattern in self.files {
                let files = hub::matches(folder, pattern)?;
                if !files.is_empty() {
                    return Ok(files);
                }
            }
        }
        match snapshots.into_iter().next() {
            Some(Err(missing)) => Err(missing),
            _ => bail!("`{}`: no file matches `{}`", self.repos[0], self.files.join("` or `")),
        }
    }
}
