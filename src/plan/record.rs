//! What the files of a folder were when they were written: their sizes and hashes, and what they follow from.
//! Whatever is read again is held against such a record first.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::plan::content::{self, Hashes};

/// The files of a folder, by their names relative to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesRecord {
    /// Fingerprint of the stage that wrote them.
    pub fingerprint: String,
    /// Optimiser steps done, of a checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<u64>,
    files: BTreeMap<String, FileRecord>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct FileRecord {
    bytes: u64,
    blake3: String,
}

impl FilesRecord {
    /// The record of all files in `folder`, those of inner folders among them.
    pub fn of(folder: &Path, fingerprint: &str, step: Option<u64>) -> Result<Self> {
        let mut files = BTreeMap::new();
        for name in names(folder)? {
            let path = folder.join(&name);
            let context = || format!("cannot read `{}`", path.display());
            let bytes = fs::metadata(&path).with_context(context)?.len();
            files.insert(name, FileRecord { bytes, blake3: content::hash(&path)? });
        }
        Ok(Self { fingerprint: fingerprint.to_owned(), step, files })
    }

    /// The record in the file `path`; `None` if there is none that can be read.
    pub fn read(path: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Ok(serde_json::to_vec_pretty(self)?)
    }

    /// What is wrong with the files in `folder`, of which all are read; `None` if they are as they were
    /// written.
    pub fn damage(&self, folder: &Path) -> Option<String> {
        self.difference(folder, &mut |path| content::hash(path))
    }

    /// As [`Self::damage`], but large files are known by what `hashes` remembers.
    pub fn change(&self, folder: &Path, hashes: &mut Hashes) -> Option<String> {
        self.difference(folder, &mut |path| hashes.file(path))
    }

    /// The names of files that are in `folder` and not in the record, `own` (the record itself) left out.
    pub fn unknown(&self, folder: &Path, own: &str) -> Result<Vec<String>> {
        let names = names(folder)?.into_iter();
        Ok(names.filter(|name| name != own && !self.files.contains_key(name)).collect())
    }

    fn difference(&self, folder: &Path, hash: &mut dyn FnMut(&Path) -> Result<String>) -> Option<String> {
        for (name, written) in &self.files {
            let path = folder.join(name);
            match fs::metadata(&path) {
                Err(_) => return Some(format!("`{name}` is missing")),
                Ok(found) if found.len() != written.bytes => {
                    return Some(format!(
                        "`{name}` has {} bytes, and {} were written",
                        found.len(),
                        written.bytes
                    ));
                }
                Ok(_) => {}
            }
            match hash(&path) {
                Err(error) => return Some(format!("{error:#}")),
                Ok(hash) if hash != written.blake3 => {
                    return Some(format!("the content of `{name}` is not what was written"));
                }
                Ok(_) => {}
            }
        }
        None
    }
}

/// The names of all files in `folder`, relative to it and with `/` between folders.
fn names(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        let listed = folder.join(&inner);
        let context = || format!("cannot list `{}`", listed.display());
        for entry in fs::read_dir(&listed).with_context(context)? {
            let entry = entry.with_context(context)?;
            let name = inner.join(entry.file_name());
            if entry.file_type().with_context(context)?.is_dir() {
                folders.push(name);
                continue;
            }
            match name.to_str() {
                Some(name) => found.push(name.replace('\\', "/")),
                None => bail!("`{}`: the name of `{}` is not UTF-8", folder.display(), name.display()),
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_folder_s_files_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("inner")).unwrap();
        fs::write(at("a"), "one").unwrap();
        fs::write(at("inner/b"), "two").unwrap();
        let record = FilesRecord::of(folder.path(), "f", Some(3)).unwrap();
        fs::write(at("record.json"), record.to_bytes().unwrap()).unwrap();
        assert_eq!(FilesRecord::read(&at("record.json")).unwrap(), record);
        assert_eq!(record.damage(folder.path()), None);
        assert_eq!(record.change(folder.path(), &mut Hashes::default()), None);
        assert_eq!(record.unknown(folder.path(), "record.json").unwrap(), Vec::<String>::new());
        fs::write(at("inner/b"), "twO").unwrap();
        let told = "the content of `inner/b` is not what was written";
        assert_eq!(record.damage(folder.path()).as_deref(), Some(told));
        assert_eq!(record.change(folder.path(), &mut Hashes::default()).as_deref(), Some(told));
        fs::write(at("a"), "four").unwrap();
        let told = "`a` has 4 bytes, and 3 were written";
        assert_eq!(record.damage(folder.path()).as_deref(), Some(told));
        fs::remove_file(at("a")).unwrap();
        fs::write(at("c"), "").unwrap();
        assert_eq!(record.damage(folder.path()).as_deref(), Some("`a` is missing"));
        assert_eq!(record.unknown(folder.path(), "record.json").unwrap(), ["c"]);
    }
}
