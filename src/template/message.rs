//! A turn of a conversation: what every row format is read into and every template renders.

use serde_json::{Map, Value};

/// The keys under which a turn may have its reasoning, in the order in which transformers looks for them.
pub const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

/// One turn.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// `system`, `developer`, `user`, `assistant`, `tool`, …: see `data::format::roles`.
    pub role: String,
    /// A string, a list of parts, or null if the turn has no content, such as a turn of tool calls alone.
    pub content: Value,
    /// Every other key (`tool_calls`, `reasoning_content`, `name`, …), as the template sees it.
    pub extra: Map<String, Value>,
    /// Whether the turn, if it is the assistant's, is trained on: `false` for turns that the row marks as
    /// not to be trained (`loss`, `weight`, `training`).
    pub trained: bool,
}

impl Message {
    pub fn new(role: &str, content: impl Into<Value>) -> Self {
        Message { role: role.to_owned(), content: content.into(), extra: Map::new(), trained: true }
    }

    /// Whether the turn says nothing: it has no text but white space, and no tool calls.
    pub fn is_empty(&self) -> bool {
        self.texts().iter().all(|text| text.trim().is_empty()) && self.calls().is_empty()
    }

    /// The text of the turn. If its content is a list of parts, these are their texts, one after another.
    pub fn text(&self) -> String {
        match &self.content {
            Value::String(text) => text.clone(),
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
            }
            _ => String::new(),
        }
    }

    /// The texts of the turn: its one text, or those of its parts.
    pub fn texts(&self) -> Vec<&str> {
        match &self.content {
            Value::String(text) => vec![text],
            Value::Array(parts) => {
                parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The turn's reasoning, and the key that it is under. Blank text does not count as reasoning.
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

    /// The message as a template reads it. As in transformers, keys that hold null are left out.
    pub fn to_json(&self) -> Value {
        let mut map = Map::new();
        map.insert("role".into(), Value::String(self.role.clone()));
        map.insert("content".into(), self.content.clone());
        map.extend(self.extra.iter().map(|(key, value)| (key.clone(), value.clone())));
        map.retain(|_, value| !value.is_null());
        Value::Object(map)
    }
}
