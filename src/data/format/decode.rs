//! From a row's JSON object to messages, by its shape.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::finish::{self, Aside};
use super::label::{LABELS, Label};
use super::left::account_for;
use super::notes::FileNotes;
use super::roles::RoleMap;
use super::turns::{MessageReader, said};
use super::{Need, RowShape, json_text, marks, media, tools, wire};
use crate::data::reason::RowReason;
use crate::data::row::Content;
use crate::data::row_schema::Checked;

/// Reads rows for what one kind of stage needs.
pub struct RowReader<'a> {
    pub need: Need,
    pub reader: MessageReader<'a>,
    /// Keys of the row that its type does not have, with their values.
    pub left: Map<String, Value>,
}

/// Reads a row of a known shape: one content, or one for each of its pairs. Errors say why it, or one of
/// its pairs, cannot be used. Warnings about the file go to `notes`.
pub fn decode(
    row: Map<String, Value>,
    shape: RowShape,
    need: Need,
    roles: &RoleMap,
    notes: &mut FileNotes,
) -> Vec<Result<Content, RowReason>> {
    let mut decoder = RowReader { need, reader: MessageReader { roles, notes }, left: Map::new() };
    decoder.row(row, shape).unwrap_or_else(|reason| vec![Err(reason)])
}

impl RowReader<'_> {
    fn row(
        &mut self,
        mut row: Map<String, Value>,
        shape: RowShape,
    ) -> Result<Vec<Result<Content, RowReason>>, RowReason> {
        media::refuse_keys(&mut row, "")?;
        marks::take_row(&mut row)?;
        tools::take_older(&mut row)?;
        json_text::parse(&mut row, self.reader.roles, self.reader.notes)?;
        let label = label(&row)?;
        if self.need == Need::Sft && shape.has_one_answer() {
            match label {
                Some((pointer, label)) if !self.reader.notes.desirable(label, pointer)? => {
                    return Err(RowReason::UndesirableAnswer);
                }
                Some(_) => row.retain(|key, _| !LABELS.contains(&key.as_str())),
                None => {}
            }
        }
        let contents = match shape.has_one_answer() {
            true => vec![Ok(self.single(row, shape)?)],
            false => self.pairs(row, shape)?,
        };
        let lost = account_for(&self.left, &contents, shape, self.reader.notes);
        if contents.iter().any(Result::is_ok) {
            lost?;
        }
        Ok(contents)
    }

    fn single(&mut self, row: Map<String, Value>, shape: RowShape) -> Result<Content, RowReason> {
        match shape {
            RowShape::Messages => {
                let (row, label): (wire::Messages, _) = self.one_answer(row)?;
                let turns = self.reader.messages(row.messages, "/messages")?;
                finish::conversation(turns, self.aside(row.beside, "/messages", None, label)?, self.need)
            }
            RowShape::Conversations => {
                let (row, label): (wire::Conversations, _) = self.one_answer(row)?;
                let turns = self.reader.messages(row.conversations, "/conversations")?;
                finish::conversation(turns, self.aside(row.beside, "/conversations", None, label)?, self.need)
            }
            RowShape::PromptCompletion => {
                let (row, label): (wire::PromptCompletion, _) = self.one_answer(row)?;
                let prompt = self.prompt(Some(row.prompt), row.input, row.history)?;
                let answer = self.reader.answer(row.completion, "/completion")?;
                finish::answers(
                    prompt,
                    vec![answer],
                    self.aside(row.beside, "/prompt", None, label)?,
                    self.need,
                )
            }
            RowShape::PromptResponse => {
                let (row, label): (wire::PromptResponse, _) = self.one_answer(row)?;
                let prompt = self.prompt(Some(row.prompt), row.input, row.history)?;
                let answer = self.reader.answer(row.response, "/response")?;
                finish::answers(
                    prompt,
                    vec![answer],
                    self.aside(row.beside, "/prompt", None, label)?,
                    self.need,
                )
            }
            RowShape::QueryResponse => {
                let (row, label): (wire::QueryResponse, _) = self.one_answer(row)?;
                let query = Some(wire::Turns::Text(row.query));
                let prompt = self.prompt(query, row.input, row.history)?;
                let answer = self.reader.answer(wire::Turns::Text(row.response), "/response")?;
                finish::answers(
                    prompt,
                    vec![answer],
                    self.aside(row.beside, "/query", None, label)?,
                    self.need,
                )
            }
            RowShape::Prompt => {
                let row: wire::PromptOnly = self.typed(row)?;
                let prompt = self.prompt(Some(row.prompt), row.input, row.history)?;
                finish::answers(prompt, Vec::new(), self.aside(row.beside, "/prompt", None, None)?, self.need)
            }
            RowShape::Text => {
                let row: wire::Text = self.typed(row)?;
                self.reader.notes.text();
                finish::text(row.text)
            }
            _ => {
                let (row, label): (wire::Alpaca, _) = self.one_answer(row)?;
                let instruction = Some(wire::Turns::Text(row.instruction));
                let prompt = self.prompt(instruction, row.input, row.history)?;
                media::refuse_tags(&row.output, "/output")?;
                let beside = self.aside(row.beside, "/instruction", None, label)?;
                finish::answers(prompt, vec![said(row.output)], beside, self.need)
            }
        }
    }

    /// What the row has besides its turns. `turns` is the pointer to the turns.
    pub fn aside(
        &mut self,
        beside: wire::Beside,
        turns: &'static str,
        margin: Option<f64>,
        label: Option<bool>,
    ) -> Result<Aside, RowReason> {
        let aside = Aside::new(beside, turns, margin, label)?;
        for tool in aside.tools().iter().filter_map(Value::as_object) {
            self.reader.note_unknown(tool, &["type", "function"], "/tools/*");
            if let Some(function) = tool.get("function").and_then(Value::as_object) {
                self.reader.note_unknown(function, &tools::FUNCTION_KEYS, "/tools/*/function");
            }
        }
        Ok(aside)
    }

    /// The row as its type. If it does not fit, the schema of the same type says at which pointer. Keys
    /// that the type does not have go to `left`.
    pub fn typed<T: DeserializeOwned + Checked>(&mut self, row: Map<String, Value>) -> Result<T, RowReason> {
        let keys = T::keys();
        let names: Vec<String> = row.keys().cloned().collect();
        let (own, left): (Map<_, _>, Map<_, _>) = row.into_iter().partition(|(key, _)| keys.contains(key));
        self.left = left;
        let row = Value::Object(own);
        serde::Deserialize::deserialize(&row)
            .map_err(|_: serde_json::Error| T::misfit(&whole(names, row, &self.left)))
            .inspect(|_| {
                if self.need == Need::Prompt {
                    // The answer that a label is about is not read either.
                    self.left.retain(|key, _| !LABELS.contains(&key.as_str()));
                }
            })
    }

    /// A row with one answer, and its label if the stage needs that.
    fn one_answer<T>(&mut self, row: Map<String, Value>) -> Result<(T, Option<bool>), RowReason>
    where
        T: DeserializeOwned + Checked,
        wire::Labelled<T>: Checked,
    {
        match self.need {
            Need::Unpaired { .. } => {
                let pointer = if row.contains_key(LABELS[0]) { "/label" } else { "/kto_tag" };
                let wire::Labelled { row, verdict } = self.typed::<wire::Labelled<T>>(row)?;
                Ok((row, Some(self.reader.notes.desirable(verdict.label(), pointer)?)))
            }
            _ => Ok((self.typed(row)?, None)),
        }
    }
}

/// A row that was taken apart, with its keys in the order of `names`.
fn whole(names: Vec<String>, own: Value, left: &Map<String, Value>) -> Value {
    let value = |name: String| {
        let value = own.get(&name).or_else(|| left.get(&name))?.clone();
        Some((name, value))
    };
    names.into_iter().filter_map(value).collect()
}

/// The label of a row with its pointer, if the row has one that says good or bad. Errors if its two names
/// disagree.
fn label(row: &Map<String, Value>) -> Result<Option<(&'static str, Label)>, RowReason> {
    let read = |key: &str| row.get(key).and_then(|value| Label::try_from(value.clone()).ok());
    match (read(LABELS[0]), read(LABELS[1])) {
        (Some(label), Some(tag)) if label.desirable != tag.desirable => {
            let why = "one says that the answer is desirable, the other that it is not";
            Err(RowReason::contradiction("/label", "/kto_tag", why))
        }
        (Some(label), _) => Ok(Some(("/label", label))),
        (None, tag) => Ok(tag.map(|tag| ("/kto_tag", tag))),
    }
}
