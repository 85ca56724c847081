//! A data set's rows, from its files.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::accepted;
use super::columns::ColumnCheck;
use super::format::{FileNotes, Need, RowShape, decode};
use super::ledger::{Ledger, LedgerEntry};
use super::nulls;
use super::reason::{Effect, RowReason};
use super::row::{Content, Row, RowOrigin, RowTurns};
use super::source::{self, for_each_row};
use super::spec::DataSpec;

/// The number of malformed rows that an error quotes.
const QUOTED: usize = 5;

/// Reads the rows of a data set that `need` can use; all others go to `ledger`. Pairs that are split into
/// two rows come as all chosen answers, then all rejected ones. Errors if a file cannot be read to its end,
/// if no row has a column that `columns` names, if more rows than `max_bad_rows` are malformed, or if no
/// row is left.
pub fn read_rows(spec: &DataSpec, need: Need, ledger: &mut Ledger) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut refused = Ledger::new();
    let mut columns = ColumnCheck::new(&spec.columns);
    let mut next = 0;
    for file in &spec.files {
        let file = Arc::new(file.clone());
        // All rows of a file have the same shape: that of the first row whose shape is recognised.
        let mut shape = None;
        let mut notes = FileNotes::default();
        for_each_row(&file, &mut |raw| {
            if spec.limit.is_some_and(|limit| next >= limit) {
                return Ok(ControlFlow::Break(()));
            }
            let origin = RowOrigin { row: next, file: Arc::clone(&file), line: raw.line };
            next += 1;
            let row = raw.object.map(|row| {
                columns.look(&row, &mut notes);
                renamed(row, &spec.columns, &mut notes)
            });
            if let (None, Ok(row)) = (shape, &row) {
                shape = RowShape::detect(row, need, spec.format);
                if let (None, Some(advice)) = (shape, need.unpair_advice(row)) {
                    bail!("data `{}` {advice}", spec.name);
                }
            }
            let row = row.and_then(|mut row| {
                let accepted_answers = accepted::take(&mut row)?;
                Ok((row, accepted_answers))
            });
            let (contents, accepted_answers) = match row {
                Ok((row, accepted_answers)) => {
                    (contents(row, shape, need, spec, &mut notes), accepted_answers)
                }
                Err(reason) => (vec![Err(reason)], Vec::new()),
            };
            for content in contents {
                match content {
                    Ok(content) => rows.extend(rows_of(content, accepted_answers.clone(), &origin, need)),
                    Err(reason) => refused.add(&origin, as_in_file(reason, &spec.columns)),
                }
            }
            Ok(ControlFlow::Continue(()))
        })?;
        notes.warnings(&file).into_iter().for_each(|warning| refused.warn(warning));
    }
    columns.check().with_context(|| format!("data `{}`", spec.name))?;
    if refused.with_effect(Effect::Malformed).count() > spec.max_bad_rows {
        bail!("data `{}`: {}", spec.name, too_many_malformed(spec, need, next, &refused));
    }
    if rows.is_empty() {
        bail!("data `{}`: {}", spec.name, none_left(&spec.files, next, &refused));
    }
    ledger.extend(refused);
    if need == (Need::Unpaired { unpair: true }) {
        // As when TRL unpairs: all chosen answers, then all rejected ones, both in the order of the rows.
        rows.sort_by_key(|row| row.label == Some(false));
    }
    Ok(rows)
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
    let taken: Vec<(String, Value)> = columns
        .iter()
        .filter_map(|(ours, theirs)| {
            let value = row.shift_remove(theirs).or_else(|| take_nested(&mut row, theirs))?;
            Some((ours.clone(), value))
        })
        .collect();
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
