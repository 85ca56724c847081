//! The files that a pattern stands for. Links are followed, but each folder is looked into once: links in a
//! circle, or from each of many folders to all others, would never end.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use glob::{Pattern, PatternError};

/// One part of a pattern, between two slashes.
enum PatternPart {
    /// A name as it is.
    Name(PathBuf),
    Pattern(Pattern),
    /// `**`: any number of folders.
    Folders,
}

/// The files that match `pattern`, which is relative to `dir`, sorted.
pub fn files(dir: &Path, pattern: &str) -> Result<Vec<PathBuf>, &'static str> {
    let whole = Path::new(pattern);
    let mut parts = Vec::new();
    for component in whole.components() {
        let text = component.as_os_str().to_string_lossy();
        parts.push(match component {
            Component::Normal(_) if text == "**" => PatternPart::Folders,
            Component::Normal(_) if text.contains(['*', '?', '[']) => {
                PatternPart::Pattern(Pattern::new(&text).map_err(|PatternError { msg, .. }| msg)?)
            }
            other => PatternPart::Name(PathBuf::from(other.as_os_str())),
        });
    }
    let mut walk = Walk { parts: &parts, seen: HashSet::new(), files: BTreeSet::new() };
    walk.from(dir, 0);
    Ok(walk.files.into_iter().collect())
}

struct Walk<'a> {
    parts: &'a [PatternPart],
    /// Folders, as they really are, with the number of the part that was looked for in them.
    seen: HashSet<(PathBuf, usize)>,
    files: BTreeSet<PathBuf>,
}

impl Walk<'_> {
    /// Adds what matches the parts from number `next` on, below `path`.
    fn from(&mut self, path: &Path, next: usize) {
        let Some(part) = self.parts.get(next) else {
            if path.is_file() {
                self.files.insert(path.to_owned());
            }
            return;
        };
        if let PatternPart::Name(name) = part {
            return self.from(&path.join(name), next + 1);
        }
        let Ok(real) = path.canonicalize() else { return };
        if !self.seen.insert((real, next)) {
            return;
        }
        if let PatternPart::Folders = part {
            self.from(path, next + 1);
        }
        let Ok(entries) = fs::read_dir(path) else { return };
        // What is found by a link too has its own name.
        let mut entries: Vec<(bool, PathBuf)> =
            entries.flatten().map(|entry| (entry.path().is_symlink(), entry.path())).collect();
        entries.sort();
        let is_last = next + 1 == self.parts.len();
        for (_, entry) in entries {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            match part {
                PatternPart::Folders if entry.is_dir() => self.from(&entry, next),
                PatternPart::Folders if is_last => self.from(&entry, next + 1),
                PatternPart::Pattern(pattern) if pattern.matches(&name) => self.from(&entry, next + 1),
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_in_circles_end() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        for name in ["a/x", "b"] {
            fs::create_dir_all(dir.join(name)).unwrap();
        }
        for name in ["1.jsonl", "a/2.jsonl", "a/x/3.jsonl", "b/4.csv"] {
            fs::write(dir.join(name), "").unwrap();
        }
        for name in ["a/up", "a/x/top", "b/up"] {
            std::os::unix::fs::symlink(dir, dir.join(name)).unwrap();
        }
        let found = |pattern: &str| {
            let files = files(dir, pattern).unwrap();
            files.iter().map(|file| file.strip_prefix(dir).unwrap().display().to_string()).collect::<Vec<_>>()
        };
        assert_eq!(found("**/*.jsonl"), ["1.jsonl", "a/2.jsonl", "a/x/3.jsonl"]);
        assert_eq!(found("*/[0-9].*"), ["a/2.jsonl", "b/4.csv"]);
        assert_eq!(found("a/**/?.jsonl"), ["a/2.jsonl", "a/x/3.jsonl", "a/x/top/1.jsonl"]);
        assert_eq!(found("b/../a/*.jsonl"), ["b/../a/2.jsonl"]);
        assert_eq!(found("a/x/**")[0], "a/x/3.jsonl");
        assert!(files(dir, "a/[").is_err());
    }
}
