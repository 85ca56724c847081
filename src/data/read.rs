//! A data set's rows, from its files.

use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use rayon::prelude::*;
use serde_json::{Map, Value};

use super::accepted;
use super::columns::{ColumnCheck, Columns};
use super::format::{FileNotes, LabelNote, Need, RowShape, decode};
use super::ledger::{Ledger, LedgerEntry};
use super::nulls;
use super::reason::{Effect, RowReason};
use super::row::{Content, Row, RowOrigin, RowTurns};
use super::source::{self, RawContent, RawRow, for_each_row};
use super::spec::DataSpec;

/// The number of malformed rows that an error quotes.
const QUOTED: usize = 5;

/// The rows, and their bytes, that are held at a time, and those that a thread reads at a time.
const CHUNK_ROWS: usize = 4096;
const CHUNK_BYTES: usize = 4 << 20;
const PART_ROWS: usize = 64;

/// Reads the rows of a data set that `need` can use; all others go to `ledger`. Pairs that are split into
/// two rows come as all chosen answers, then all rejected ones. Errors if a file cannot be read to its end or
/// has no row, if no row has a column that `columns` names, if more rows than `max_bad_rows` are malformed, or
/// if no row is left.
pub fn read_rows(spec: &DataSpec, need: Need, ledger: &mut Ledger) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let read = read_with(
        spec,
        need,
        |row| row,
        |row| {
            rows.push(row);
            Ok(())
        },
    )?;
    ledger.extend(read.refused);
    if need == (Need::Unpaired { unpair: true }) {
        // As when TRL unpairs: all chosen answers, then all rejected ones, both in the order of the rows.
        rows.sort_by_key(|row| row.label == Some(false));
    }
    Ok(rows)
}

/// What is known of a data set once its rows are read.
#[derive(Debug, Default)]
pub struct ReadFiles {
    /// The rows that cannot be used, and warnings about the files.
    pub refused: Ledger,
    /// The number of rows in the files.
    pub read: usize,
}

/// Reads rows as [`read_rows`] does, but in the order of the files, and holds few of them at a time: `use_row`
/// is called with each, by all threads at once, and `sink` with what it gives, in order.
pub fn read_with<T: Send>(
    spec: &DataSpec,
    need: Need,
    use_row: impl Fn(Row) -> T + Sync,
    mut sink: impl FnMut(T) -> Result<()>,
) -> Result<ReadFiles> {
    let mut refused = Ledger::new();
    let columns = Columns::new(&spec.columns);
    let mut seen = ColumnCheck::new(&columns);
    let (mut next, mut usable) = (0, 0);
    for file in &spec.files {
        if spec.limit.is_some_and(|limit| next >= limit) {
            break;
        }
        let first = next;
        let mut reader = FileReader {
            spec,
            need,
            columns: &columns,
            use_row: &use_row,
            file: Arc::new(file.clone()),
            shape: None,
            notes: FileNotes::default(),
        };
        let mut chunk = Vec::new();
        let mut bytes = 0;
        let mut take = |chunk: &mut Vec<NumberedRow>| {
            reader.chunk(std::mem::take(chunk), &mut seen, &mut |origin, content| {
                match content {
                    Ok(used) => {
                        usable += 1;
                        sink(used)?;
                    }
                    Err(reason) => refused.add(origin, as_in_file(reason, &spec.columns)),
                }
                Ok(())
            })
        };
        for_each_row(file, spec.max_row_bytes, &mut |raw| {
            if spec.limit.is_some_and(|limit| next >= limit) {
                return Ok(ControlFlow::Break(()));
            }
            bytes += raw.bytes();
            chunk.push((next, raw));
            next += 1;
            if chunk.len() >= CHUNK_ROWS || bytes >= CHUNK_BYTES {
                bytes = 0;
                take(&mut chunk)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
        take(&mut chunk)?;
        reader.notes.warnings(file).into_iter().for_each(|warning| refused.warn(warning));
        if next == first && spec.files.len() > 1 {
            bail!("data `{}`: no rows in `{}`; take it out of `source`", spec.name, file.display());
        }
    }
    seen.check().with_context(|| format!("data `{}`", spec.name))?;
    if refused.with_effect(Effect::Malformed).count() > spec.max_bad_rows {
        bail!("data `{}`: {}", spec.name, too_many_malformed(spec, need, next, &refused));
    }
    if usable == 0 {
        bail!("data `{}`: {}", spec.name, none_left(&spec.files, next, &refused));
    }
    Ok(ReadFiles { refused, read: next })
}

/// A row with its index in the data set.
type NumberedRow = (usize, RawRow);

/// What is done with the content of a row, or with the reason why it has none.
type RowSink<'a, T> = dyn FnMut(&RowOrigin, Result<T, RowReason>) -> Result<()> + 'a;

/// Reads the rows of one file, of which all have the same shape: that of the first row whose shape is
/// recognised.
struct FileReader<'a, F> {
    spec: &'a DataSpec,
    need: Need,
    columns: &'a Columns<'a>,
    use_row: &'a F,
    file: Arc<PathBuf>,
    shape: Option<RowShape>,
    notes: FileNotes,
}

/// What one thread found in a few rows.
struct ReadPart<'a, T> {
    rows: Vec<ReadRow<T>>,
    seen: ColumnCheck<'a>,
    notes: FileNotes,
    /// What ended the reading of the file.
    failed: Option<anyhow::Error>,
}

/// What one row came to.
struct ReadRow<T> {
    origin: RowOrigin,
    label: Option<LabelNote>,
    contents: Vec<Result<T, RowReason>>,
}

impl<'a, T: Send, F: Fn(Row) -> T + Sync> FileReader<'a, F> {
    /// Reads rows that follow each other, and gives what they come to to `sink`, in order.
    fn chunk(
        &mut self,
        rows: Vec<NumberedRow>,
        seen: &mut ColumnCheck<'a>,
        sink: &mut RowSink<'_, T>,
    ) -> Result<()> {
        let mut rows = rows.into_iter();
        while self.shape.is_none() {
            let Some(row) = rows.next() else { return Ok(()) };
            let line = row.1.line;
            let object = row.1.object(&self.file)?;
            if let Ok(object) = &object {
                self.detect(object)?;
            }
            let raw = RawRow { line, content: object.map_or_else(RawContent::Refused, RawContent::Parsed) };
            let part = self.part(vec![(row.0, raw)]);
            self.merge(part, seen, sink)?;
        }
        let mut parts: Vec<Vec<NumberedRow>> = Vec::new();
        let mut rest = rows.peekable();
        while rest.peek().is_some() {
            parts.push(rest.by_ref().take(PART_ROWS).collect());
        }
        let parts: Vec<ReadPart<'a, T>> = parts.into_par_iter().map(|rows| self.part(rows)).collect();
        parts.into_iter().try_for_each(|part| self.merge(part, seen, sink))
    }

    /// Recognises the file's shape by a row, if it can be.
    fn detect(&mut self, row: &Map<String, Value>) -> Result<()> {
        let row = renamed(row.clone(), &self.spec.columns, &mut FileNotes::default());
        self.shape = RowShape::detect(&row, self.need, self.spec.format);
        if let (None, Some(advice)) = (self.shape, self.need.unpair_advice(&row)) {
            bail!("data `{}` {advice}", self.spec.name);
        }
        Ok(())
    }

    fn part(&self, rows: Vec<NumberedRow>) -> ReadPart<'a, T> {
        let mut part = ReadPart {
            rows: Vec::with_capacity(rows.len()),
            seen: ColumnCheck::new(self.columns),
            notes: FileNotes::default(),
            failed: None,
        };
        for (row, raw) in rows {
            let origin = RowOrigin { row, file: Arc::clone(&self.file), line: raw.line };
            let object = match raw.object(&self.file) {
                Ok(object) => object,
                Err(error) => {
                    part.failed = Some(error);
                    break;
                }
            };
            let contents = object.and_then(|row| {
                part.seen.look(&row, &mut part.notes);
                let mut row = renamed(row, &self.spec.columns, &mut part.notes);
                let accepted_answers = accepted::take(&mut row)?;
                Ok((contents(row, self.shape, self.need, self.spec, &mut part.notes), accepted_answers))
            });
            let contents = match contents {
                Ok((contents, accepted_answers)) => contents
                    .into_iter()
                    .flat_map(|content| match content {
                        Ok(content) => {
                            let rows = rows_of(content, accepted_answers.clone(), &origin, self.need);
                            rows.into_iter().map(|row| Ok((self.use_row)(row))).collect()
                        }
                        Err(reason) => vec![Err(reason)],
                    })
                    .collect(),
                Err(reason) => vec![Err(reason)],
            };
            let label = part.notes.take_label();
            part.rows.push(ReadRow { origin, label, contents });
        }
        part
    }

    fn merge(
        &mut self,
        part: ReadPart<'a, T>,
        seen: &mut ColumnCheck<'a>,
        sink: &mut RowSink<'_, T>,
    ) -> Result<()> {
        seen.extend(part.seen);
        for row in part.rows {
            // A label contradicts those before it, which another thread may have read.
            if let Some(Err(reason)) = row.label.map(|label| self.notes.check_label(label)) {
                sink(&row.origin, Err(reason))?;
                continue;
            }
            for content in row.contents {
                sink(&row.origin, content)?;
            }
        }
        self.notes.extend(part.notes);
        part.failed.map_or(Ok(()), Err)
    }
}

/// An error that quotes the first malformed rows and says how many there are.
fn too_many_malformed(spec: &DataSpec, need: Need, read: usize, refused: &Ledger) -> String {
    let malformed: Vec<&LedgerEntry> = refused.with_effect(Effect::Malformed).collect();
    let mut text = format!(
        "{} of {read} rows are malformed, {} may be (`max_bad_rows`):",
        malformed.len(),
        spec.max_bad_rows
    );
    for entry in malformed.iter().take(QUOTED) {
        // A line of a `.json` file may hold many rows.
        let place = match source::has_many_rows_a_line(&entry.origin.file) {
            true => format!("{} (row {})", entry.origin, entry.origin.row),
            false => entry.origin.to_string(),
        };
        text.push_str(&format!("\n  {place}: {}", entry.reason));
    }
    if malformed.len() > QUOTED {
        text.push_str(&format!("\n  and {} more", malformed.len() - QUOTED));
    }
    if malformed.iter().any(|entry| matches!(entry.reason, RowReason::NoKnownFormat { .. })) {
        text.push_str(&format!("\n  expected {}", need.expected()));
    }
    text
}

/// An error that says why a data set has no row that can be used.
fn none_left(files: &[PathBuf], read: usize, refused: &Ledger) -> String {
    if read == 0 {
        let files: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
        return format!("no rows in {}", files.join(", "));
    }
    let counts: Vec<String> =
        refused.counts().iter().map(|(reason, rows)| format!("{reason}: {rows}")).collect();
    let first = refused.entries().iter().find(|entry| entry.reason.effect() != Effect::Cut);
    let first = first.map(|entry| format!("; the first, {}: {}", entry.origin, entry.reason));
    format!("none of {read} rows can be used ({}){}", counts.join(", "), first.unwrap_or_default())
}

fn contents(
    row: Map<String, Value>,
    shape: Option<RowShape>,
    need: Need,
    spec: &DataSpec,
    notes: &mut FileNotes,
) -> Vec<Result<Content, RowReason>> {
    match shape {
        Some(shape) => decode(row, shape, need, &spec.roles, notes),
        None => vec![Err(RowReason::NoKnownFormat { keys: row.keys().cloned().collect() })],
    }
}

/// The rows of a row's content: one, or, for a pair that is to be unpaired, two: the chosen answer, then
/// the rejected one.
fn rows_of(content: Content, accepted_answers: Vec<String>, origin: &RowOrigin, need: Need) -> Vec<Row> {
    let Content { turns, tools, chat_template_kwargs, margin, label } = content;
    match (need, turns) {
        (Need::Unpaired { unpair: true }, RowTurns::Answers { prompt, answers }) => {
            let row = |(answer, desirable)| Row {
                origin: origin.clone(),
                turns: RowTurns::Answers { prompt: prompt.clone(), answers: vec![answer] },
                tools: tools.clone(),
                chat_template_kwargs: chat_template_kwargs.clone(),
                margin: None,
                label: Some(desirable),
                accepted_answers: accepted_answers.clone(),
            };
            answers.into_iter().zip([true, false]).map(row).collect()
        }
        (_, turns) => vec![Row {
            origin: origin.clone(),
            turns,
            tools,
            chat_template_kwargs,
            margin,
            label,
            accepted_answers,
        }],
    }
}

/// The row under our names, without keys that hold null at any depth: data sets with optional columns have
/// such keys, and in files with a schema every row has all keys, with null where it has no value.
fn renamed(
    mut row: Map<String, Value>,
    columns: &IndexMap<String, String>,
    notes: &mut FileNotes,
) -> Map<String, Value> {
    // Columns are taken out together: to close the gap after each would take time that grows with the square
    // of their number.
    let mut whole: HashSet<&str> = HashSet::new();
    let mut taken: Vec<(String, Value)> = Vec::with_capacity(columns.len());
    for (ours, theirs) in columns {
        let value = match row.get_mut(theirs) {
            Some(value) if whole.insert(theirs) => Some(std::mem::take(value)),
            _ => take_nested(&mut row, theirs),
        };
        taken.extend(value.map(|value| (ours.clone(), value)));
    }
    if !whole.is_empty() {
        row.retain(|key, _| !whole.contains(key.as_str()));
    }
    row.extend(taken);
    nulls::drop_from(&mut row, notes);
    row
}

/// Takes out the value at a dotted name such as `chosen.text`. The object that held it goes too if it holds
/// nothing else.
fn take_nested(row: &mut Map<String, Value>, name: &str) -> Option<Value> {
    let (first, rest) = name.split_once('.')?;
    let inner = row.get_mut(first)?.as_object_mut()?;
    let value = inner.shift_remove(rest).or_else(|| take_nested(inner, rest))?;
    if inner.is_empty() {
        row.shift_remove(first);
    }
    Some(value)
}

/// The reason with its pointer under the file's own name of the column.
fn as_in_file(reason: RowReason, columns: &IndexMap<String, String>) -> RowReason {
    let pointer = |pointer: String| {
        let (column, rest) = match pointer[1..].split_once('/') {
            Some((column, rest)) => (column, format!("/{rest}")),
            None => (&pointer[1..], String::new()),
        };
        match columns.get(column) {
            Some(theirs) => format!("/{}{rest}", theirs.replace('.', "/")),
            None => pointer,
        }
    };
    reason.with_pointers(|at| pointer(at.to_owned()))
}
