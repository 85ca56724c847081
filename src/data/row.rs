//! A row as every format reads to: who says what, and which answers are trained.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::source;
use crate::template::REASONING;

/// Where a row comes from, for keys, errors and the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Index in the data set as read (0-based, over all files, unusable rows included).
    pub row: usize,
    pub file: Arc<PathBuf>,
    /// Line of the file at which the row begins; of a `.parquet` file the row's number (both from 1).
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} {}", self.file.display(), source::unit(&self.file), self.line)
    }
}

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, …: see [`super::roles`].
    pub role: String,
    /// A string, a list of parts, or null: the turn has none (a turn of tool calls alone).
    pub content: Value,
    /// Every other key (`tool_calls`, `reasoning_content`, `name`, …), as the template sees it.
    pub extra: Map<String, Value>,
    /// Whether an assistant's turn is trained where its row is: `false` for turns that the row marks
    /// as not to be imitated (`loss`, `weight`, `training`).
    pub trained: bool,
}

impl Message {
    pub fn new(role: &str, content: impl Into<Value>) -> Self {
        Message { role: role.to_owned(), content: content.into(), extra: Map::new(), trained: true }
    }

    /// Whether the turn says nothing: no text but spaces, no parts, no tool calls.
    pub fn is_empty(&self) -> bool {
        let calls = self.extra.get("tool_calls").and_then(Value::as_array);
        let silent = match &self.content {
            Value::String(text) => text.trim().is_empty(),
            Value::Array(parts) => parts.is_empty(),
            _ => true,
        };
        silent && calls.is_none_or(|calls| calls.is_empty())
    }

    /// The text of the turn: of a list of parts, their texts in order.
    pub fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
            }
            _ => String::new(),
        }
    }

    /// The texts of the turn: one, or those of its parts.
    pub fn texts(&self) -> Vec<&str> {
        match &self.content {
            Value::String(text) => vec![text],
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// What the turn's author thought, and the key that it stands under.
    pub fn reasoning(&self) -> Option<(&'static str, &Value)> {
        let held = |key: &'static str| Some((key, self.extra.get(key).filter(|value| !value.is_null())?));
        REASONING.into_iter().find_map(held)
    }

    /// The tool calls of the turn.
    pub fn calls(&self) -> &[Value] {
        self.extra.get("tool_calls").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The message as a template reads it. As in transformers, a key that holds null is not there.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("role".into(), Value::String(self.role.clone()));
        map.insert("content".into(), self.content.clone());
        map.extend(self.extra.iter().map(|(key, value)| (key.clone(), value.clone())));
        map.retain(|_, value| !value.is_null());
        Value::Object(map)
    }
}

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub enum Turns {
    /// A prompt and the answers that continue it; everything after the prompt is trained.
    /// Preference rows read as preference: `[chosen, rejected]`; as sft and unpaired rows: one
    /// answer; prompts: none.
    Answers { prompt: Vec<Message>, answers: Vec<Vec<Message>> },
    /// A whole conversation; every assistant turn is trained.
    Conversation(Vec<Message>),
    /// Text that is trained whole, as it is, without a template; the end token follows it.
    Text(String),
}

/// One usable row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub origin: Origin,
    pub turns: Turns,
    /// Tool schemas for the template, as the row gives them.
    pub tools: Option<Value>,
    /// Further variables of the template, as the row gives them.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// How much better the chosen answer is, where the row says so.
    pub margin: Option<f64>,
    /// Unpaired rows: whether the answer is desirable.
    pub label: Option<bool>,
    /// All answers to the row's question that are right (`accepted_answers`), where the row says so.
    /// They are not trained on: what a model says to held-out rows is compared with them.
    pub accepted_answers: Vec<String>,
}

impl Row {
    /// Whether the row asks and has no answer.
    pub fn is_prompt(&self) -> bool {
        matches!(&self.turns, Turns::Answers { answers, .. } if answers.is_empty())
    }

    /// Whether there is an answer, or only a question.
    pub fn is_answered(&self) -> bool {
        match &self.turns {
            Turns::Answers { answers, .. } => !answers.is_empty(),
            Turns::Conversation(_) | Turns::Text(_) => true,
        }
    }

    /// The messages that a model would be asked to answer: the prompt, or a conversation up to its
    /// first assistant turn.
    pub fn question(&self) -> &[Message] {
        match &self.turns {
            Turns::Answers { prompt, .. } => prompt,
            Turns::Conversation(messages) => {
                let end = messages.iter().position(|message| message.role == "assistant");
                &messages[..end.unwrap_or(messages.len())]
            }
            Turns::Text(_) => &[],
        }
    }

    /// All texts of the row, for training a tokenizer: prompt, then each answer.
    pub fn texts(&self) -> Vec<String> {
        match &self.turns {
            Turns::Answers { prompt, answers } => {
                prompt.iter().chain(answers.iter().flatten()).map(Message::text).collect()
            }
            Turns::Conversation(messages) => messages.iter().map(Message::text).collect(),
            Turns::Text(text) => vec![text.clone()],
        }
    }
}
