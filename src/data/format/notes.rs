//! Warnings about a file, collected while its rows are read.

use std::path::Path;

use indexmap::IndexSet;

use super::label::{Label, LabelForm};
use crate::data::reason::RowReason;

/// The largest number of keys that a warning names.
const NAMED: usize = 12;

#[derive(Debug, Default)]
pub struct FileNotes {
    /// Pointers of a row's keys that nothing reads, with `*` for the index in a list.
    unread: IndexSet<String>,
    /// The same for keys of turns, parts, calls and tools, which the template gets as they are.
    passed_on: IndexSet<String>,
    /// The number of rows with several rejected answers, and of the pairs that they make.
    several: (usize, usize),
    /// Pointers of keys within calls, tools and variables that hold null, which counts as no key.
    nulls: IndexSet<String>,
    /// The number of rows with an answer that is a list of texts, written as text.
    lists: usize,
    /// The number of rows of text that is trained whole.
    texts: usize,
    has_zero: bool,
    has_minus_one: bool,
    /// The label that was read last.
    label: Option<LabelNote>,
}

/// A label that says that an answer is not desirable, and the pointer to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LabelNote {
    written: LabelForm,
    pointer: &'static str,
}

impl FileNotes {
    /// Notes a key that nothing reads.
    pub fn unread(&mut self, pointer: impl Into<String>) {
        self.unread.insert(pointer.into());
    }

    /// Notes a key that belongs to no format and goes to the template.
    pub fn passed_on(&mut self, pointer: impl Into<String>) {
        self.passed_on.insert(pointer.into());
    }

    /// Notes a row that makes several pairs.
    pub fn several_pairs(&mut self, pairs: usize) {
        self.several.0 += 1;
        self.several.1 += pairs;
    }

    /// Notes a key within calls, tools or variables that holds null.
    pub fn null(&mut self, pointer: String) {
        self.nulls.insert(pointer);
    }

    /// Notes a row with an answer that is a list of texts, written as text.
    pub fn answer_is_list(&mut self) {
        self.lists += 1;
    }

    pub fn text(&mut self) {
        self.texts += 1;
    }

    /// Whether the answer is desirable. Errors if the file has both 0 and −1.
    pub fn desirable(&mut self, label: Label, pointer: &'static str) -> Result<bool, RowReason> {
        let note = LabelNote { written: label.written, pointer };
        self.label = Some(note);
        self.check_label(note).map(|()| label.desirable)
    }

    /// The label of the row that was read last.
    pub fn take_label(&mut self) -> Option<LabelNote> {
        self.label.take()
    }

    /// Notes how a row writes its label. Errors if the file has both 0 and −1.
    pub fn check_label(&mut self, label: LabelNote) -> Result<(), RowReason> {
        self.has_zero |= label.written == LabelForm::Zero;
        self.has_minus_one |= label.written == LabelForm::MinusOne;
        match (label.written, self.has_zero && self.has_minus_one) {
            (LabelForm::Otherwise, _) | (_, false) => Ok(()),
            (written, true) => {
                let found = if written == LabelForm::Zero { 0 } else { -1 };
                let accepted = "`true` or 1, and one way to write the opposite: `false`, 0 or -1; this file has \
                                both 0 and -1, and one of them may mean neither";
                Err(RowReason::wrong_type(label.pointer, &found.into(), accepted))
            }
        }
    }

    /// Adds the notes about the rows that follow.
    pub fn extend(&mut self, other: FileNotes) {
        self.unread.extend(other.unread);
        self.passed_on.extend(other.passed_on);
        self.several.0 += other.several.0;
        self.several.1 += other.several.1;
        self.nulls.extend(other.nulls);
        self.lists += other.lists;
        self.texts += other.texts;
        self.has_zero |= other.has_zero;
        self.has_minus_one |= other.has_minus_one;
    }

    /// Warnings about the rows of `file`.
    pub fn warnings(&self, file: &Path) -> Vec<String> {
        let file = file.file_name().unwrap_or(file.as_os_str()).display();
        let mut warnings = Vec::new();
        if !self.unread.is_empty() {
            warnings.push(format!("`{file}`: nothing reads {}", named(&self.unread)));
        }
        if !self.passed_on.is_empty() {
            warnings.push(format!(
                "`{file}`: {} can only be read by the chat template, which gets them as they are",
                named(&self.passed_on)
            ));
        }
        if !self.nulls.is_empty() {
            warnings.push(format!(
                "`{file}`: keys that hold null are left out, as if they were not there (tables have a null for every \
                 key of another row): {}",
                named(&self.nulls)
            ));
        }
        if self.lists > 0 {
            warnings.push(format!(
                "`{file}`: {} rows have an answer that is written as a list of texts: it is read as one answer, as it is written",
                self.lists
            ));
        }
        if let (rows @ 1.., pairs) = self.several {
            warnings.push(format!("`{file}`: {rows} rows have several rejected answers: {pairs} pairs"));
        }
        if self.texts > 0 {
            warnings.push(format!(
                "`{file}`: {} rows are `text`, which is trained whole and as it is, without the chat template",
                self.texts
            ));
        }
        warnings
    }
}

fn named(keys: &IndexSet<String>) -> String {
    let shown: Vec<String> = keys.iter().take(NAMED).map(|key| format!("`{key}`")).collect();
    match keys.len().saturating_sub(NAMED) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
