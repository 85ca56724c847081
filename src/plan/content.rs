//! Content hashes of files. A file below [`WHOLE`] bytes is read whole each time. A larger one is known again
//! by size, times and the content of [`SAMPLES`] blocks spread over it: only if one of them differs from what a
//! cache remembers is it read whole again. The cache never enters a fingerprint.

use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::backend::new_file::unfinished_in;

/// Bytes from which on a file is not read whole each time.
const WHOLE: u64 = 1 << 30;
/// Blocks of a large file that are read each time.
const SAMPLES: u64 = 64;
/// Bytes of such a block.
const SAMPLE: u64 = 64 << 10;
/// Bytes that are read at once, and hashed by all threads.
const CHUNK: usize = 16 << 20;
/// A file that changed this recently may change again without a change of its modification time.
const SETTLED: Duration = Duration::from_secs(2);

/// Hashes files, and remembers what it hashed of large ones.
#[derive(Debug)]
pub struct Hashes {
    cache: BTreeMap<PathBuf, Known>,
    store: Option<PathBuf>,
    /// Bytes from which on a file is not read whole each time.
    whole: u64,
}

impl Default for Hashes {
    fn default() -> Self {
        Self { cache: BTreeMap::new(), store: None, whole: WHOLE }
    }
}

/// What is remembered of a large file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Known {
    seen: Seen,
    hash: String,
}

/// By what a large file is known again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Seen {
    size: u64,
    modified_nanos: u128,
    /// When the file's content or properties last changed, which no program can set.
    changed_nanos: i128,
    /// blake3 of the sampled blocks.
    samples: String,
}

impl Hashes {
    /// Starts from the cache file `store`; one that is not there or cannot be read counts as empty.
    pub fn open(store: &Path) -> Self {
        let cache = fs::read(store).ok().and_then(|text| serde_json::from_slice(&text).ok());
        Self { cache: cache.unwrap_or_default(), store: Some(store.to_owned()), whole: WHOLE }
    }

    /// blake3 of the file's content, in hex. Errors if it is no file or cannot be read.
    pub fn file(&mut self, path: &Path) -> Result<String> {
        let context = || format!("cannot read `{}`", path.display());
        let metadata = fs::metadata(path).with_context(context)?;
        if metadata.len() < self.whole {
            return hash(path);
        }
        let modified = metadata.modified().with_context(context)?;
        let seen = Seen {
            size: metadata.len(),
            modified_nanos: modified.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos(),
            changed_nanos: changed_nanos(&metadata),
            samples: samples(path, metadata.len()).with_context(context)?,
        };
        let key = std::path::absolute(path).with_context(context)?;
        if let Some(known) = self.cache.get(&key).filter(|known| known.seen == seen) {
            return Ok(known.hash.clone());
        }
        let hash = hash(path)?;
        let age = SystemTime::now().duration_since(modified).unwrap_or_default();
        if age > SETTLED {
            self.cache.insert(key, Known { seen, hash: hash.clone() });
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

/// blake3 of the file's content, in hex, read now. Errors if it is no file, such as a folder or a pipe that
/// might never end, or cannot be read.
pub fn hash(path: &Path) -> Result<String> {
    let context = || format!("cannot read `{}`", path.display());
    let is_file = fs::metadata(path).with_context(context)?.is_file();
    ensure!(is_file, "cannot read `{}`: it is no file", path.display());
    let mut file = File::open(path).with_context(context)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = Vec::new();
    loop {
        buffer.clear();
        if Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(&mut buffer).with_context(context)? == 0 {
            return Ok(hasher.finalize().to_hex().to_string());
        }
        hasher.update_rayon(&buffer);
    }
}

/// blake3 of [`SAMPLES`] blocks of a file of `size` bytes, the first and the last among them.
fn samples(path: &Path, size: u64) -> Result<String> {
    let mut file = File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut block = Vec::new();
    for index in 0..SAMPLES {
        let last = size.saturating_sub(SAMPLE);
        let start = (u128::from(last) * u128::from(index) / u128::from(SAMPLES - 1)) as u64;
        file.seek(SeekFrom::Start(start))?;
        block.clear();
        Read::by_ref(&mut file).take(SAMPLE).read_to_end(&mut block)?;
        hasher.update(&block);
    }
    Ok(hasher.finalize().to_hex().to_string())
}

#[cfg(unix)]
fn changed_nanos(metadata: &Metadata) -> i128 {
    use std::os::unix::fs::MetadataExt;
    i128::from(metadata.ctime()) * 1_000_000_000 + i128::from(metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed_nanos(_: &Metadata) -> i128 {
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85";

    fn set_times(path: &Path, time: SystemTime) {
        File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }

    #[test]
    fn a_small_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let (file, store) = (folder.path().join("rows.jsonl"), folder.path().join("hashes.json"));
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        let mut hashes = Hashes::open(&store);
        fs::write(&file, "abc").unwrap();
        set_times(&file, long_ago);
        assert_eq!(hashes.file(&file).unwrap(), ABC);
        fs::write(&file, "abd").unwrap();
        set_times(&file, long_ago);
        assert_eq!(hashes.file(&file).unwrap(), text("abd"));
    }

    #[test]
    fn a_large_settled_file_is_read_again_when_its_times_or_samples_change() {
        let folder = tempfile::tempdir().unwrap();
        let (file, store) = (folder.path().join("rows.jsonl"), folder.path().join("hashes.json"));
        fs::write(&file, "abc").unwrap();
        let long_ago = SystemTime::now() - Duration::from_secs(60);
        set_times(&file, long_ago);
        let open = || Hashes { whole: 0, ..Hashes::open(&store) };
        let mut hashes = open();
        assert_eq!(hashes.file(&file).unwrap(), ABC);
        hashes.save();
        // While nothing changes the remembered hash is given, as the changed cache file shows.
        fs::write(&store, fs::read_to_string(&store).unwrap().replace(ABC, "cached")).unwrap();
        let mut hashes = open();
        assert_eq!(hashes.file(&file).unwrap(), "cached");
        fs::write(&file, "abd").unwrap();
        set_times(&file, long_ago);
        assert_eq!(hashes.file(&file).unwrap(), text("abd"));
    }

    #[test]
    #[cfg(unix)]
    fn a_pipe_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("rows.jsonl");
        let name = std::ffi::CString::new(pipe.to_str().unwrap()).unwrap();
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let error = format!("{:#}", Hashes::default().file(&pipe).unwrap_err());
        assert!(error.contains("it is no file"), "{error}");
    }
}
