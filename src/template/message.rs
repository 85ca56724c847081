//! A turn of a conversation, as every row format reads to it and every template renders it.

use serde_json::{Map, Value};

/// The keys of a turn that hold what its author thought, in the order in which transformers looks for
/// them.
pub const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, …: see `data::format::roles`.
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

    /// Whether the turn says nothing: no text but spaces, whole or in parts, no tool calls.
    pub fn is_empty(&self) -> bool {
        self.texts().iter().all(|text| text.trim().is_empty()) && self.calls().is_empty()
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

    /// What the turn's author thought, and the key that it stands under. Blank text is no thought.
    pub fn reasoning(&self) -> Option<(&'static str, &Value)> {
        let is_blank =
            |value: &Value| value.is_null() || value.as_str().is_some_and(|text| text.trim().is_empty());
        let held = |key: &'static str| Some((key, self.extra.get(key).filter(|value| !is_blank(value))?));
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
