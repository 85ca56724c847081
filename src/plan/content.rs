//! Content hashes of files. A cache keyed by path, size and modification time saves reading large
//! weights again; it decides only whether to read, and never enters a fingerprint.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::backend::new_file::unfinished_in;

/// Bytes that are read at once, and hashed by all threads.
const CHUNK: usize = 16 << 20;
/// A file that changed this recently may change again without a change of its modification time.
const SETTLED: Duration = Duration::from_secs(2);

/// Hashes files, and remembers what it hashed.
#[derive(Debug, Default)]
pub struct Hashes {
    cache: BTreeMap<PathBuf, Known>,
    store: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    size: u64,
    modified_nanos: u128,
    hash: String,
}

impl Hashes {
    /// Starts from the cache file `store`; one that is not there or cannot be read counts as empty.
    pub fn open(store: &Path) -> Self {
        let cache = fs::read(store).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { cache: cache.unwrap_or_default(), store: Some(store.to_owned()) }
    }

    /// blake3 of the file's content, in hex.
    pub fn file(&mut self, path: &Path) -> Result<String> {
        let context = || format!("cannot read `{}`", path.display());
        let metadata = fs::metadata(path).with_context(context)?;
        let modified = metadata.modified().with_context(context)?;
        let modified_nanos = modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        let key = std::path::absolute(path).with_context(context)?;
        if let Some(known) = self.cache.get(&key)
            && known.size == metadata.len()
            && known.modified_nanos == modified_nanos
        {
            return Ok(known.hash.clone());
        }
        let hash = hash(path).with_context(context)?;
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        if age > SETTLED {
            self.cache.insert(key, Known { size: metadata.len(), modified_nanos, hash: hash.clone() });
        }
        Ok(hash)
    }

    /// Writes the cache file, if its folder exists. A cache that cannot be written only costs time.
    pub fn save(&self) {
        let Some(store) = &self.store else { return };
        let Some(folder) = store.parent().filter(|folder| folder.is_dir()) else { return };
        let write = || -> Result<()> {
            let mut file = unfinished_in(folder)?;
            file.write_all(&serde_json::to_vec(&self.cache)?)?;
            file.persist(store)?;
            Ok(())
        };
        let _ = write();
    }
}

/// blake3 of a text, in hex.
pub fn text(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn hash(path: &Path) -> Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        if Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(&mut buffer)? == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update_rayon(&buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_the_content_and_settled_files_are_not_read_again() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let (file, store) = (folder.path().join("rows.jsonl"), folder.path().join("hashes.json"));
        fs::write(&file, "abc")?;
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        File::options().write(true).open(&file)?.set_modified(long_ago)?;
        let mut hashes = Hashes::open(&store);
        let abc = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";
        assert_eq!(hashes.file(&file)?, abc);
        hashes.save();
        // With the same size and time the cached hash is given, as the changed cache file shows.
        fs::write(&store, fs::read_to_string(&store)?.replace(abc, "cached"))?;
        let mut hashes = Hashes::open(&store);
        assert_eq!(hashes.file(&file)?, "cached");
        fs::write(&file, "abcd")?;
        assert_eq!(hashes.file(&file)?, text("abcd"));
        Ok(())
    }
}
