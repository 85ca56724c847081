//! Repositories of the Hugging Face hub that are in the local cache. Nothing is downloaded.
//!
//! The cache is `HF_HUB_CACHE`, else `HF_HOME/hub`, else `huggingface/hub` in the user's cache folder,
//! and holds `datasets--ORG--NAME` or `models--ORG--NAME`, each with `refs/main`, which names a folder
//! of `snapshots/`.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};

use super::source;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepoKind {
    Model,
    Dataset,
}

/// The files of a cached repository that match `patterns` (globs within it): in the order of the patterns,
/// sorted within each. Without patterns, its data files, or if some of them are named `train`, only those.
/// Errors if the repository is not in the cache (the error gives the command that downloads it), or if a
/// pattern matches nothing.
pub fn cached(repo: &str, kind: RepoKind, patterns: &[&str]) -> Result<Vec<PathBuf>> {
    cached_in(&cache()?, repo, kind, patterns)
}

/// As [`cached`], for the cache at `cache`.
pub fn cached_in(cache: &Path, repo: &str, kind: RepoKind, patterns: &[&str]) -> Result<Vec<PathBuf>> {
    let folder = snapshot(cache, repo, kind)?;
    if patterns.is_empty() {
        let files = data_files(&folder)?;
        if files.is_empty() {
            bail!("`{repo}`: no data file in `{}`; expected {}", folder.display(), source::KINDS);
        }
        return Ok(files);
    }
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in patterns {
        let found = matches(&folder, pattern)?;
        if found.is_empty() {
            bail!("`{repo}`: no file in `{}` matches `{pattern}`", folder.display());
        }
        files.extend(found);
    }
    let mut seen = HashSet::new();
    files.retain(|file| seen.insert(file.clone()));
    Ok(files)
}

/// The cache's folder, whether it exists or not.
pub fn cache() -> Result<PathBuf> {
    let set = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || {
        let caches = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
        set("HF_HOME").or_else(|| Some(caches?.join("huggingface")))
    };
    set("HF_HUB_CACHE")
        .or_else(|| Some(home()?.join("hub")))
        .ok_or_else(|| anyhow!("no Hugging Face cache: set `HF_HUB_CACHE` to its folder"))
}

/// The folder with a repository's files, as they were on its main branch when they were downloaded.
pub fn snapshot(cache: &Path, repo: &str, kind: RepoKind) -> Result<PathBuf> {
    let (prefix, option) = match kind {
        RepoKind::Model => ("models", ""),
        RepoKind::Dataset => ("datasets", "--repo-type dataset "),
    };
    if !is_id(repo) {
        bail!("`{repo}` is not the name of a repository; expected `ORG/NAME`");
    }
    let folder = cache.join(format!("{prefix}--{}", repo.replace('/', "--")));
    let missing = || {
        anyhow!(
            "`{repo}` is not in the Hugging Face cache `{}`; get it with `hf download {option}{repo}`",
            cache.display()
        )
    };
    let head = folder.join("refs/main");
    if !head.is_file() {
        return Err(missing());
    }
    let revision = fs::read_to_string(&head).with_context(|| format!("cannot read `{}`", head.display()))?;
    let snapshot = folder.join("snapshots").join(revision.trim());
    if snapshot.is_dir() { Ok(snapshot) } else { Err(missing()) }
}

/// The files that rows are read from; only those of the training split if their names say which these are.
fn data_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = matches(folder, "**/*")?;
    files.retain(|file| source::is_known(file));
    let trains = |file: &Path| {
        let within = file.strip_prefix(folder).unwrap_or(file);
        within.to_string_lossy().contains("train")
    };
    if files.iter().any(|file| trains(file)) {
        files.retain(|file| trains(file));
    }
    Ok(files)
}

/// Files in `folder` that match a pattern, sorted.
pub fn matches(folder: &Path, pattern: &str) -> Result<Vec<PathBuf>> {
    let whole = PathBuf::from(glob::Pattern::escape(&folder.to_string_lossy())).join(pattern);
    let paths = glob::glob(&whole.to_string_lossy())
        .map_err(|error| anyhow!("`{pattern}` is not a pattern: {}", error.msg))?;
    let mut files: Vec<PathBuf> = paths.flatten().filter(|path| path.is_file()).collect();
    files.sort();
    Ok(files)
}

/// Whether a name is of the form `ORG/NAME`, or `NAME` as the hub's oldest repositories have it.
fn is_id(repo: &str) -> bool {
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    let parts: Vec<&str> = repo.split('/').collect();
    parts.len() <= 2 && parts.into_iter().all(plain)
}
