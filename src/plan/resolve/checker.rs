//! What all checks share: the document, the recipe's folder, and the problems found so far.

use std::path::{Path, PathBuf};

use crate::recipe::diagnostics::{Location, Problem};
use crate::recipe::document::{Document, join};

pub struct Checker<'a> {
    pub document: &'a Document,
    dir: &'a Path,
    pub problems: Vec<Problem>,
}

impl<'a> Checker<'a> {
    pub fn new(document: &'a Document, dir: &'a Path, problems: Vec<Problem>) -> Self {
        Checker { document, dir, problems }
    }

    /// A path of the recipe, absolute.
    pub fn path(&self, written: &str) -> PathBuf {
        self.dir.join(written)
    }

    pub fn dir(&self) -> &'a Path {
        self.dir
    }

    /// An error at the value of `pointer`.
    pub fn error(&mut self, pointer: &str, message: impl Into<String>) -> &mut Problem {
        let place = self.document.value_place(pointer);
        self.push(Problem::error(place, message))
    }

    /// A warning at the key of `pointer`.
    pub fn warning(&mut self, pointer: &str, message: impl Into<String>) -> &mut Problem {
        let place = self.document.key_place(pointer);
        self.push(Problem::warning(place, message))
    }

    fn push(&mut self, problem: Problem) -> &mut Problem {
        let index = self.problems.len();
        self.problems.push(problem);
        &mut self.problems[index]
    }

    /// Whether `pointer` holds something sound.
    pub fn has(&self, pointer: &str) -> bool {
        self.document.json.pointer(pointer).is_some()
    }

    /// Whether `pointer` was written at all, sound or not.
    pub fn is_written(&self, pointer: &str) -> bool {
        self.has(pointer) || self.document.is_refused(pointer)
    }

    /// Where stage `index` has `key` from (`lora/rank` is a key too): its own table, `[defaults]`,
    /// or, if from neither, what is nearest in its own table.
    pub fn stage_key(&self, index: usize, key: &str) -> String {
        let own = format!("/stage/{index}/{key}");
        let inherited = format!("/defaults/{key}");
        let near = key.rsplit_once('/').map(|(table, _)| table);
        if self.is_written(&own) || !self.is_written(&inherited) {
            match near {
                Some(near) if !self.is_written(&own) => self.stage_key(index, near),
                _ => own,
            }
        } else {
            inherited
        }
    }

    /// The place of [`Checker::stage_key`].
    pub fn stage_key_place(&self, index: usize, key: &str) -> Option<Location> {
        self.document.value_place(&self.stage_key(index, key))
    }

    /// The pointer of a `[data.NAME]` table.
    pub fn data_table(name: &str) -> String {
        join("/data", name)
    }
}
