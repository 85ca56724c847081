//! A data set's rows, from its files.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use indexmap::IndexMap;
use serde_json::{Map, Value};

use super::format::{Content, Need, Shape, decode};
use super::ledger::{Entry, Ledger};
use super::reason::{Effect, Reason};
use super::row::{Origin, Row, Turns};
use super::source::for_each_row;
use super::spec::DataSpec;

/// Malformed rows that an error quotes.
const QUOTED: usize = 5;

/// Reads the rows of a data set that `need` can use; all others go to `ledger`.
/// Errors if a file cannot be read to its end, if more rows than `max_bad_rows` are malformed, or if
/// no row is left.
pub fn read_rows(spec: &DataSpec, need: Need, ledger: &mut Ledger) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let mut refused = Ledger::new();
    let mut next = 0;
    for file in &spec.files {
        let file = Arc::new(file.clone());
        // A file's rows have one shape: that of the first that has any.
        let mut shape = None;
        for_each_row(&file, &mut |raw| {
            if spec.limit.is_some_and(|limit| next >= limit) {
                return Ok(ControlFlow::Break(()));
            }
            let origin = Origin { row: next, file: Arc::clone(&file), line: raw.line };
            next += 1;
            let row = raw.object.map(|row| renamed(row, &spec.columns));
            if let (None, Ok(row)) = (shape, &row) {
                shape = Shape::detect(row, need, spec.format);
                if let (None, Some(advice)) = (shape, need.unpair_advice(row)) {
                    bail!("data `{}` {advice}", spec.name);
                }
            }
            match row.and_then(|row| content(row, shape, need)) {
                Ok(content) => rows.extend(rows_of(content, &origin, need)),
                Err(reason) => refused.add(&origin, as_in_file(reason, &spec.columns)),
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    if refused.with_effect(Effect::Malformed).count() > spec.max_bad_rows {
        bail!("data `{}`: {}", spec.name, too_many_malformed(spec, need, next, &refused));
    }
    if rows.is_empty() {
        bail!("data `{}`: {}", spec.name, none_left(&spec.files, next, &refused));
    }
    ledger.extend(refused);
    Ok(rows)
}

/// The first malformed rows, and how many there are.
fn too_many_malformed(spec: &DataSpec, need: Need, read: usize, refused: &Ledger) -> String {
    let malformed: Vec<&Entry> = refused.with_effect(Effect::Malformed).collect();
    let mut text = format!(
        "{} of {read} rows are malformed, {} may be (`max_bad_rows`):",
        malformed.len(),
        spec.max_bad_rows
    );
    for entry in malformed.iter().take(QUOTED) {
        text.push_str(&format!("\n  {}: {}", entry.origin, entry.reason));
    }
    if malformed.len() > QUOTED {
        text.push_str(&format!("\n  and {} more", malformed.len() - QUOTED));
    }
    if malformed.iter().any(|entry| matches!(entry.reason, Reason::NoKnownFormat { .. })) {
        text.push_str(&format!("\n  expected {}", need.expected()));
    }
    text
}

/// Why a data set has no row to use.
fn none_left(files: &[PathBuf], read: usize, refused: &Ledger) -> String {
    if read == 0 {
        let files: Vec<String> = files.iter().map(|file| format!("`{}`", file.display())).collect();
        return format!("no rows in {}", files.join(", "));
    }
    let counts: Vec<String> =
        refused.counts().iter().map(|(reason, rows)| format!("{reason}: {rows}")).collect();
    format!("none of {read} rows can be used ({})", counts.join(", "))
}

fn content(row: Map<String, Value>, shape: Option<Shape>, need: Need) -> Result<Content, Reason> {
    match shape {
        Some(shape) => decode(row, shape, need),
        None => Err(Reason::NoKnownFormat { keys: row.keys().cloned().collect() }),
    }
}

/// One row; of a pair that is to be unpaired two: the chosen answer, then the rejected one.
fn rows_of(content: Content, origin: &Origin, need: Need) -> Vec<Row> {
    let Content { turns, tools, chat_template_kwargs, margin, label } = content;
    match (need, turns) {
        (Need::Unpaired { unpair: true }, Turns::Answers { prompt, answers }) => {
            let row = |(answer, desirable)| Row {
                origin: origin.clone(),
                turns: Turns::Answers { prompt: prompt.clone(), answers: vec![answer] },
                tools: tools.clone(),
                chat_template_kwargs: chat_template_kwargs.clone(),
                margin: None,
                label: Some(desirable),
            };
            answers.into_iter().zip([true, false]).map(row).collect()
        }
        (_, turns) => vec![Row { origin: origin.clone(), turns, tools, chat_template_kwargs, margin, label }],
    }
}

/// The row under our names, without keys that hold null at any depth: data sets with optional columns
/// have those, and files with a schema have one for every key that another row has.
fn renamed(mut row: Map<String, Value>, columns: &IndexMap<String, String>) -> Map<String, Value> {
    let taken: Vec<(String, Value)> = columns
        .iter()
        .filter_map(|(ours, theirs)| {
            let value = row.shift_remove(theirs).or_else(|| nested(&row, theirs))?;
            Some((ours.clone(), value))
        })
        .collect();
    row.extend(taken);
    without_nulls(&mut row);
    row
}

/// Drops the keys that hold null, at any depth. Lists keep their items.
fn without_nulls(map: &mut Map<String, Value>) {
    fn within(value: &mut Value) {
        match value {
            Value::Object(map) => without_nulls(map),
            Value::Array(items) => items.iter_mut().for_each(within),
            _ => {}
        }
    }
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(within);
}

/// The value at a dotted name such as `chosen.text`.
fn nested(row: &Map<String, Value>, name: &str) -> Option<Value> {
    let (first, rest) = name.split_once('.')?;
    rest.split('.').try_fold(row.get(first)?, |value, key| value.get(key)).cloned()
}

/// The reason with its pointer under the file's own name of the column.
fn as_in_file(reason: Reason, columns: &IndexMap<String, String>) -> Reason {
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
    match reason {
        Reason::Missing(at) => Reason::Missing(pointer(at)),
        Reason::WrongType(at) => Reason::WrongType(pointer(at)),
        Reason::UnknownRole { role, pointer: at } => Reason::UnknownRole { role, pointer: pointer(at) },
        other => other,
    }
}
