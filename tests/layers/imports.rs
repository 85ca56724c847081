//! Which file of a crate uses which, told by its `use` declarations.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// A module's path from the root of the crate.
pub type Module = Vec<String>;

/// The files of a crate, by their paths below its root.
pub struct Sources {
    files: BTreeMap<PathBuf, String>,
    modules: BTreeMap<Module, PathBuf>,
    /// Names that a module passes on → where they come from.
    passed_on: BTreeMap<Module, Module>,
}

impl Sources {
    pub fn read(root: &str) -> Self {
        let mut files = BTreeMap::new();
        let mut folders = vec![PathBuf::from(root)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|ending| ending == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    files.insert(path.strip_prefix(root).unwrap().to_owned(), text);
                }
            }
        }
        Self::of(files)
    }

    pub fn of(files: BTreeMap<PathBuf, String>) -> Self {
        let modules = files.keys().map(|path| (module(path), path.clone())).collect();
        let mut sources = Sources { files, modules, passed_on: BTreeMap::new() };
        let mut passed_on = BTreeMap::new();
        for path in sources.files.keys() {
            for used in sources.uses(path).into_iter().filter(|used| used.is_public) {
                if let (Some(target), Some(name)) =
                    (used.path.last().map(|_| used.path.clone()), used.path.last())
                {
                    passed_on.insert([module(path), vec![name.clone()]].concat(), target);
                }
            }
        }
        sources.passed_on = passed_on;
        sources
    }

    /// Each file and its text.
    pub fn files(&self) -> impl Iterator<Item = (&Path, &str)> {
        self.files.iter().map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Each file and the files that it uses, test modules apart. What a `mod.rs` passes on counts as used by
    /// whoever names it there.
    pub fn arrows(&self) -> Vec<(PathBuf, Vec<PathBuf>)> {
        let arrows = self.files.keys().map(|path| {
            let is_mod = path.ends_with("mod.rs");
            let uses = self.uses(path).into_iter().filter(|used| !(used.is_public && is_mod));
            let targets: BTreeSet<PathBuf> = uses.filter_map(|used| self.file(&used.path)).collect();
            (path.clone(), targets.into_iter().filter(|target| target != path).collect())
        });
        arrows.collect()
    }

    /// The file that defines what a path names; `None` outside of the crate.
    fn file(&self, path: &[String]) -> Option<PathBuf> {
        let mut path = path.to_vec();
        // A name may be passed on more than once.
        for _ in 0..8 {
            match self.passed_on.get(&path) {
                Some(target) => path = target.clone(),
                None => break,
            }
        }
        (1..=path.len()).rev().find_map(|length| self.modules.get(&path[..length]).cloned())
    }

    fn uses(&self, path: &Path) -> Vec<Used> {
        let own = module(path);
        let text = without_tests(&self.files[path]);
        let text: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
        let mut uses = Vec::new();
        for declaration in text.join("\n").split(';') {
            let declaration = declaration.trim_start();
            // What stands before it on lines of its own, such as the end of a function, is no part of it.
            let Some(start) = declaration.rfind("use ") else { continue };
            let line = declaration[..start].rfind('\n').map_or(0, |end| end + 1);
            let before = &declaration[line..start];
            if !(before.is_empty() || before.starts_with("pub")) {
                continue;
            }
            let mut paths = Vec::new();
            expand(&declaration[start + 4..], &mut Vec::new(), &mut paths);
            for path in paths {
                if let Some(path) = self.absolute(&own, path) {
                    uses.push(Used { is_public: before.starts_with("pub"), path });
                }
            }
        }
        uses
    }

    /// A path from the root of the crate; `None` if it is another crate's.
    fn absolute(&self, own: &[String], path: Vec<String>) -> Option<Module> {
        match path.first()?.as_str() {
            "crate" => Some(path[1..].to_vec()),
            "self" => Some([own, &path[1..]].concat()),
            "super" => {
                let up = path.iter().take_while(|part| *part == "super").count();
                Some([&own[..own.len().saturating_sub(up)], &path[up..]].concat())
            }
            first => {
                let child = [own, &[first.to_owned()]].concat();
                self.modules.contains_key(&child).then(|| [own, &path].concat())
            }
        }
    }
}

/// One path of a `use`.
struct Used {
    is_public: bool,
    path: Module,
}

/// The module that a file is.
pub fn module(path: &Path) -> Module {
    let path = path.with_extension("");
    let mut parts: Module =
        path.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
    if parts.last().is_some_and(|last| ["mod", "lib", "main"].contains(&last.as_str())) {
        parts.pop();
    }
    parts
}

/// A file's text up to its test module.
pub fn without_tests(text: &str) -> &str {
    match text.find("\n#[cfg(test)]\nmod ") {
        Some(start) if text[start..].lines().nth(2).is_some_and(|line| line.ends_with('{')) => &text[..start],
        _ => text,
    }
}

/// `a::{b, c::d}` → `a::b`, `a::c::d`.
fn expand(tree: &str, before: &mut Module, paths: &mut Vec<Module>) {
    let tree = tree.trim();
    if let Some(list) = tree.strip_prefix('{') {
        let list = list.trim_end().strip_suffix('}').unwrap_or(list);
        let (mut depth, mut start) = (0, 0);
        for (at, letter) in list.char_indices().chain([(list.len(), ',')]) {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    if !list[start..at].trim().is_empty() {
                        expand(&list[start..at], before, paths);
                    }
                    start = at + 1;
                }
                _ => {}
            }
        }
        return;
    }
    let end = tree.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '*')).unwrap_or(tree.len());
    before.push(tree[..end].to_owned());
    match tree[end..].trim_start().strip_prefix("::") {
        Some(rest) => expand(rest, before, paths),
        None => paths.push(before.clone()),
    }
    before.pop();
}
