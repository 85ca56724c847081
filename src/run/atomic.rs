//! Files and folders that appear whole or not at all: written beside their place, flushed to the
//! disk, renamed. A crash leaves at most a folder whose name [`remove_leftovers`] knows.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use tempfile::Builder;

use crate::backend::new_file::UNFINISHED;

/// Writes `bytes` to `path`. A file that is there already is replaced by one rename.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<()> {
    place(path, |unfinished| {
        let mut file = File::create(unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(())
    })
}

/// Makes the folder `path` with what `fill` writes into it. It replaces a folder that is there already,
/// unless `fill` fails.
pub fn write_folder(path: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    place(path, |unfinished| {
        fs::create_dir(unfinished)?;
        fill(unfinished)?;
        sync_tree(unfinished)?;
        if path.exists() { remove_folder(path) } else { Ok(()) }
    })
}

fn place(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let parent = parent(path)?;
    let place = || -> Result<()> {
        fs::create_dir_all(parent)?;
        // A folder of its own, because temporary files are made readable for their owner alone.
        let folder = Builder::new().prefix(UNFINISHED).tempdir_in(parent)?;
        let unfinished = folder.path().join("content");
        write(&unfinished)?;
        fs::rename(&unfinished, path)?;
        sync_folder(parent)
    };
    place().with_context(|| format!("cannot write `{}`", path.display()))
}

/// Removes a folder. A crash half-way leaves nothing that looks whole.
pub fn remove_folder(path: &Path) -> Result<()> {
    let remove = || -> Result<()> {
        let doomed = Builder::new().prefix(UNFINISHED).tempdir_in(parent(path)?)?;
        fs::rename(path, doomed.path().join("content"))?;
        doomed.close()?;
        Ok(())
    };
    remove().with_context(|| format!("cannot remove the folder `{}`", path.display()))
}

/// Deletes what a crash left unfinished directly in `folder`. Does nothing where there is no such
/// folder.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let clean = || -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if !is_leftover(&entry.file_name().to_string_lossy()) {
                continue;
            }
            match entry.file_type()?.is_dir() {
                true => fs::remove_dir_all(entry.path())?,
                false => fs::remove_file(entry.path())?,
            }
        }
        Ok(())
    };
    clean().with_context(|| format!("cannot tidy up `{}`", folder.display()))
}

/// Whether a crash left something of that name. Earlier versions called temporary files `.tmp` and six
/// letters or digits.
fn is_leftover(name: &str) -> bool {
    let random = name.strip_prefix(".tmp").unwrap_or_default();
    name.starts_with(UNFINISHED) || (random.len() == 6 && random.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// Puts the folder `next` in the place of `path`, and removes what was there. A crash half-way leaves it
/// undone or [`recover`] to finish it; `previous` is where the old folder is meanwhile.
pub fn exchange(next: &Path, path: &Path, previous: &Path) -> Result<()> {
    let exchange = || -> Result<()> {
        if path.exists() {
            fs::rename(path, previous)?;
        }
        fs::rename(next, path)?;
        sync_folder(parent(path)?)?;
        if previous.exists() { remove_folder(previous) } else { Ok(()) }
    };
    exchange()
        .with_context(|| format!("cannot put `{}` in the place of `{}`", next.display(), path.display()))
}

/// Finishes what a crash during [`exchange`] left.
pub fn recover(next: &Path, path: &Path, previous: &Path) -> Result<()> {
    match (previous.exists(), path.exists(), next.exists()) {
        (true, false, true) => exchange(next, path, previous),
        (true, false, false) => {
            fs::rename(previous, path).with_context(|| format!("cannot write `{}`", path.display()))
        }
        (true, true, _) => remove_folder(previous),
        (false, ..) => Ok(()),
    }
}

fn parent(path: &Path) -> Result<&Path> {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => Ok(parent),
        Some(_) => Ok(Path::new(".")),
        None => anyhow::bail!("`{}` has no parent folder", path.display()),
    }
}

fn sync_tree(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    sync_folder(folder)
}

/// Makes sure that renames inside `folder` are on the disk. Only Unix can open a folder to flush it.
fn sync_folder(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}
