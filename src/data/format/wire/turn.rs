//! Turns, answers and what stands beside them.

use schemars::JsonSchema;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// Text, or turns in either way of writing them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Turns {
    /// What one turn says.
    Text(String),
    /// Several turns.
    Messages(Vec<Turn>),
    /// One turn.
    Message(Turn),
}

/// One answer as text or turns, or a list of several answers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Answers {
    /// What one answer says.
    Text(String),
    /// The turns of one answer.
    Messages(Vec<Turn>),
    /// One answer of one turn.
    Message(Turn),
    /// Several answers, each as text.
    Texts(Vec<String>),
    /// Several answers, each with its turns.
    Conversations(Vec<Vec<Turn>>),
}

/// A conversation, or several.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Lists {
    One(Vec<Turn>),
    Several(Vec<Vec<Turn>>),
}

/// A turn, as chat APIs or as ShareGPT write it.
#[derive(Debug, Clone, PartialEq, JsonSchema)]
#[serde(untagged)]
pub enum Turn {
    Chat(ChatTurn),
    ShareGpt(ShareGptTurn),
}

/// A turn is an object. Derived code would take a list for one too, its items for role and content.
impl<'de> Deserialize<'de> for Turn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let turn = Map::deserialize(deserializer)?;
        let is_chat = turn.contains_key("role") || !turn.contains_key("from");
        let turn = Value::Object(turn);
        match is_chat {
            true => serde_json::from_value(turn).map(Turn::Chat),
            false => serde_json::from_value(turn).map(Turn::ShareGpt),
        }
        .map_err(D::Error::custom)
    }
}

/// `{role, content}` and whatever else the chat template reads (`tool_calls`, `name`, …). Assistant
/// turns with `loss`, `training` or `train` false, or `weight` 0, are not trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ChatTurn {
    pub role: String,
    #[serde(default)]
    pub content: Option<TurnContent>,
    /// What the turn says where it has no `content`, as in hh_rlhf_cn.
    #[serde(default)]
    pub text: Option<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// What a turn says.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TurnContent {
    Text(String),
    /// Parts, e.g. `{"type": "text", "text": "…"}`; of a `tool_call` turn its calls.
    Parts(Vec<Map<String, Value>>),
    /// Of a `tool_call` turn its call, `{"name": "…", "arguments": {…}}`.
    Call(Map<String, Value>),
}

/// `{from, value}`, and what a chat turn may have besides.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ShareGptTurn {
    pub from: String,
    pub value: TurnContent,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// Tool schemas, as a list or as JSON text. None of them: no tools.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tools {
    List(Vec<Value>),
    Json(String),
}

/// Earlier questions and answers.
pub type History = Vec<[String; 2]>;

/// What any row may have beside what is said.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
pub struct Beside {
    /// What the system says first.
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub tools: Option<Tools>,
    /// Further variables of the chat template, as an object or as its JSON text.
    #[serde(default)]
    pub chat_template_kwargs: Option<Variables>,
}

/// An object, or its JSON text.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Variables {
    Object(Map<String, Value>),
    Json(String),
}
