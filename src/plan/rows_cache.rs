//! Tokenised rows of large data sets, kept for the next stage, command or run that reads them alike.
//!
//! They lie in the user's cache folder: `$RUNNER_CACHE`, else `$XDG_CACHE_HOME/runner`, else `~/.cache/runner`,
//! there in `rows/`. A file's name is a digest of all that tokens follow from: the content of the data files and
//! how they are read, the templates and what they are given, the tokenizer, the limits, [`READER`]. What is
//! damaged is made again. Rows whose template prints the time are kept for one command only, and so are data sets
//! so small that their tokens fit in memory.

use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use serde::Serialize;
use tempfile::NamedTempFile;

use crate::backend::new_file::unfinished_in;
use crate::data::{Reading, TokenRows, saved};
use crate::plan::content;

/// To be raised whenever rows are read, rendered or tokenised otherwise than before.
const READER: u32 = 1;
/// The name of the folder.
const ROWS: &str = "rows";
/// Bytes of all files together: those that were not used for longest are removed.
const MOST_BYTES: u64 = 20 << 30;
/// Files that were not used for so long are removed.
const OLDEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// Files of commands that were killed are removed.
const UNFINISHED: Duration = Duration::from_secs(24 * 3600);

/// What was read in this command, and where earlier commands kept theirs.
#[derive(Debug, Default)]
pub struct RowsCache {
    known: HashMap<String, Arc<TokenRows>>,
    /// `None`: nothing is kept for other commands.
    folder: Option<PathBuf>,
}

impl RowsCache {
    /// The user's.
    pub fn of_user() -> Self {
        Self::in_folder(user_folder().map(|folder| folder.join(ROWS)))
    }

    pub fn in_folder(folder: Option<PathBuf>) -> Self {
        Self { known: HashMap::new(), folder }
    }

    /// The rows of `reading`: those of this command, or of an earlier one, or else read now. `made_from`: what
    /// tokens follow from besides what `reading` has: the content of the data files, of the tokenizer, and the
    /// time that the template prints, if it prints one.
    pub fn rows(
        &mut self,
        reading: &Reading<'_>,
        made_from: &impl Serialize,
        prints_time: bool,
        watch: &dyn Fn(usize) -> Result<()>,
    ) -> Result<Arc<TokenRows>> {
        let key = key(reading, made_from)?;
        if let Some(rows) = self.known.get(&key) {
            return Ok(Arc::clone(rows));
        }
        let folder = self.folder.as_deref().filter(|_| !prints_time);
        let path = folder.map(|folder| folder.join(format!("{key}.{ROWS}")));
        let rows = match path.as_deref().and_then(opened) {
            Some(rows) => rows,
            None => read(reading, path.as_deref(), watch)?,
        };
        let rows = Arc::new(rows);
        self.known.insert(key, Arc::clone(&rows));
        Ok(rows)
    }
}

fn user_folder() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    named("RUNNER_CACHE")
        .or_else(|| Some(named("XDG_CACHE_HOME")?.join("runner")))
        .or_else(|| Some(named("HOME")?.join(".cache").join("runner")))
}

/// The digest of all that tokens follow from.
fn key(reading: &Reading<'_>, made_from: &impl Serialize) -> Result<String> {
    let Reading { data, need, template, tokenizer: _, lengths } = reading;
    let lengths = (lengths.max_length, lengths.max_prompt_length, format!("{:?}", lengths.longer));
    let template = (template.identity(), template.kwargs());
    // Paths need not be UTF-8, as JSON would have them.
    let hashed = (READER, format!("{data:?}"), need.name(), template, lengths, made_from);
    Ok(content::text(&serde_json::to_string(&hashed)?)[..32].to_owned())
}

/// The rows that an earlier command kept in a file, if it is there and whole.
fn opened(path: &Path) -> Option<TokenRows> {
    let file = File::options().read(true).write(true).open(path).ok()?;
    // Its time tells when it was used last. Where that cannot be set, it is removed sooner.
    let _ = file.set_modified(SystemTime::now());
    match saved::open(file) {
        Ok(rows) => Some(rows),
        Err(_) => {
            // It is made again, under the same name.
            let _ = fs::remove_file(path);
            None
        }
    }
}

/// Reads rows, and keeps them in the file `path` if they are many. A cache that cannot be written only costs
/// time.
fn read(
    reading: &Reading<'_>,
    path: Option<&Path>,
    watch: &dyn Fn(usize) -> Result<()>,
) -> Result<TokenRows> {
    let kept: RefCell<Option<NamedTempFile>> = RefCell::new(None);
    let open = || {
        let folder = path.and_then(Path::parent);
        let new = folder.and_then(|folder| {
            fs::create_dir_all(folder).ok()?;
            unfinished_in(folder).ok()
        });
        match new {
            Some(new) => {
                let file = new.as_file().try_clone().context("cannot open a file of the cache twice")?;
                kept.replace(Some(new));
                Ok(file)
            }
            None => tempfile::tempfile().context("cannot create a temporary file for tokenised rows"),
        }
    };
    let rows = reading.rows(open, watch)?;
    let path = path.filter(|_| rows.is_in_file() && !rows.has_failed());
    if let (Some(mut file), Some(path)) = (kept.into_inner(), path)
        && saved::complete(&rows, file.as_file_mut()).is_ok()
        && file.persist(path).is_ok()
        && let Some(folder) = path.parent()
    {
        clean(folder, path);
    }
    Ok(rows)
}

/// Removes what was not used for long, and more of it while all together are too large. `new` stays.
fn clean(folder: &Path, new: &Path) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
        .flatten()
        .filter_map(|entry| {
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
            Some((metadata.modified().ok()?, metadata.len(), entry.path()))
        })
        .collect();
    files.sort();
    let mut bytes: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
    let now = SystemTime::now();
    for (used, length, path) in files {
        let age = now.duration_since(used).unwrap_or_default();
        let is_rows = path.extension().is_some_and(|extension| extension == ROWS);
        let is_old = age > if is_rows { OLDEST } else { UNFINISHED };
        if path != new && (is_old || (is_rows && bytes > MOST_BYTES)) && fs::remove_file(&path).is_ok() {
            bytes -= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::spec::DataSpec;
    use crate::data::{Lengths, Longer, Need, Tokenizer};
    use crate::template::ChatTemplate;

    fn words(seed: usize) -> String {
        (0..12).map(|word| format!("w{} ", (seed * 31 + word * 7) % 97)).collect()
    }

    /// All that is read of rows, in words.
    fn told(rows: &TokenRows, template: &ChatTemplate) -> (String, Vec<String>) {
        let (train, held_out) = rows.parts(0.1, false);
        let mut ledger = rows.refused.clone();
        let mut reader = rows.reader();
        let mut told = String::new();
        for part in [train, held_out] {
            for item in rows.account(&part, template, &mut ledger).unwrap() {
                told += &format!("{:?}\n", reader.row(item).unwrap());
            }
        }
        let entries = ledger.entries().iter();
        (content::text(&told), entries.map(|entry| format!("{} {}", entry.origin, entry.reason)).collect())
    }

    #[test]
    fn rows_are_kept_and_made_again_if_they_are_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let rows: String = (0..30_000)
            .map(|row| match row % 1000 {
                7 => "not a row\n".to_owned(),
                _ => format!("{{\"prompt\": \"{}\", \"completion\": \"{}\"}}\n", words(row), words(row + 1)),
            })
            .collect();
        let file = folder.path().join("rows.jsonl");
        fs::write(&file, rows).unwrap();
        let model = Path::new("tests/golden/models/qwen2");
        let template = ChatTemplate::for_model(None, model, Some(model)).unwrap();
        let tokenizer = Tokenizer::from_folder(model).unwrap();
        let data =
            DataSpec { files: vec![file], eval_fraction: 0.1, max_bad_rows: 100, ..DataSpec::default() };
        let lengths = Lengths { max_length: 180, longer: Longer::Cut, max_prompt_length: None };
        let reading =
            Reading { data: &data, need: Need::Sft, template: &template, tokenizer: &tokenizer, lengths };
        let cache = folder.path().join("cache");
        let counted = RefCell::new(0);
        let read = |made_from: u32, prints_time: bool| {
            let watch = |_| {
                *counted.borrow_mut() += 1;
                Ok(())
            };
            let mut rows = RowsCache::in_folder(Some(cache.clone()));
            let found = rows.rows(&reading, &made_from, prints_time, &watch).unwrap();
            // The same command asks once more.
            let again = rows.rows(&reading, &made_from, prints_time, &watch).unwrap();
            assert!(Arc::ptr_eq(&found, &again));
            (told(&found, &template), counted.replace(0) > 0)
        };
        let (first, was_read) = read(1, false);
        assert!(was_read && first.1.len() >= 30, "{:?}", first.1);
        assert_eq!(read(1, false), (first.clone(), false), "kept for the next command");
        let kept = || fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
        let path = kept().pop().unwrap();
        for damage in [20_usize, 4_000_000] {
            let mut bytes = fs::read(&path).unwrap();
            let at = bytes.len() - 1 - damage.min(bytes.len() / 2);
            bytes[at] ^= 4;
            fs::write(&path, bytes).unwrap();
            assert_eq!(read(1, false), (first.clone(), true), "damaged: read again");
            assert_eq!(read(1, false), (first.clone(), false), "and kept again");
        }
        assert!(read(2, false).1, "made from something else");
        assert_eq!(kept().len(), 2);
        assert!(read(3, true).1);
        assert_eq!(kept().len(), 2, "what prints the time is not kept");
        let unused = cache.join(format!("0.{ROWS}"));
        fs::write(&unused, "").unwrap();
        File::options().write(true).open(&unused).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        assert!(read(4, false).1);
        assert!(!unused.exists() && kept().len() == 3);
    }
}
