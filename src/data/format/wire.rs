//! Rows as files have them. The JSON Schemas of rows in `schemas/` are generated from these types, and
//! the same types decode rows.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::label::Label;

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

/// A turn, as chat APIs or as ShareGPT write it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Turn {
    Chat(ChatTurn),
    ShareGpt(ShareGptTurn),
}

/// `{role, content}` and whatever else the chat template reads (`tool_calls`, `name`, …).
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
    /// Parts, e.g. `{"type": "text", "text": "…"}`.
    Parts(Vec<Map<String, Value>>),
}

/// `{from, value}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ShareGptTurn {
    pub from: String,
    pub value: String,
}

/// Tool schemas, as a list or as JSON text.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Tools {
    List(Vec<Value>),
    Json(String),
}

/// `{prompt, chosen, rejected}`; without `prompt` it is what chosen and rejected begin with.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ChosenRejected {
    #[serde(default)]
    pub prompt: Option<Turns>,
    pub chosen: Turns,
    pub rejected: Turns,
    #[serde(default)]
    pub system: Option<String>,
    /// How much better the chosen answer is.
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// ShareGPT `{conversations, chosen, rejected}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ConversationsChosenRejected {
    pub conversations: Vec<Turn>,
    pub chosen: Turns,
    pub rejected: Turns,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// ms-swift: the conversation with the chosen answer, and the rejected answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct MessagesRejectedResponse {
    pub messages: Vec<Turn>,
    pub rejected_response: Turns,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// ms-swift: the conversation with the chosen answer, and the same with the rejected one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct MessagesRejectedMessages {
    pub messages: Vec<Turn>,
    pub rejected_messages: Vec<Turn>,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// Older ms-swift: `{system, query, history, response, rejected_response}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct QueryResponseRejected {
    pub query: String,
    pub response: String,
    pub rejected_response: String,
    #[serde(default)]
    pub system: Option<String>,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<Vec<[String; 2]>>,
    #[serde(default)]
    pub margin: Option<f64>,
}

/// A conversation; every assistant turn is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Messages {
    pub messages: Vec<Turn>,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// ShareGPT: a conversation; every assistant turn is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Conversations {
    pub conversations: Vec<Turn>,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// A prompt and its answer; the answer is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct PromptCompletion {
    pub prompt: Turns,
    pub completion: Turns,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// Alpaca: `input` follows `instruction` in the question; the output is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Alpaca {
    pub instruction: String,
    #[serde(default)]
    pub input: Option<String>,
    pub output: String,
    #[serde(default)]
    pub system: Option<String>,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<Vec<[String; 2]>>,
}

/// `{query, response}`; the response is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct QueryResponse {
    pub query: String,
    pub response: String,
    #[serde(default)]
    pub system: Option<String>,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<Vec<[String; 2]>>,
}

/// A row of preferences: one question, a better and a worse answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PreferenceRow {
    ConversationsChosenRejected(ConversationsChosenRejected),
    ChosenRejected(ChosenRejected),
    MessagesRejectedResponse(MessagesRejectedResponse),
    MessagesRejectedMessages(MessagesRejectedMessages),
    QueryResponseRejected(QueryResponseRejected),
}

/// A row for supervised fine-tuning. Preference rows serve by their chosen side.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SftRow {
    Preference(PreferenceRow),
    Messages(Messages),
    Conversations(Conversations),
    PromptCompletion(PromptCompletion),
    Alpaca(Alpaca),
    QueryResponse(QueryResponse),
}

/// One answer, and whether it is desirable.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Labelled<T> {
    #[serde(flatten)]
    pub row: T,
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// A label under TRL's and ms-swift's name, or LLaMA-Factory's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Verdict {
    Label { label: Label },
    KtoTag { kto_tag: Label },
}

impl Verdict {
    pub fn is_desirable(self) -> bool {
        match self {
            Verdict::Label { label: Label(desirable) } | Verdict::KtoTag { kto_tag: Label(desirable) } => {
                desirable
            }
        }
    }
}

/// A prompt alone.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Prompt {
    pub prompt: Turns,
    #[serde(default)]
    pub system: Option<String>,
    #[serde(default)]
    pub tools: Option<Tools>,
}

/// A row for KTO: a question, an answer, and whether the answer is desirable. Of a conversation the
/// last assistant turn is the answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UnpairedRow {
    PromptCompletion(Box<Labelled<PromptCompletion>>),
    Messages(Labelled<Messages>),
    Conversations(Labelled<Conversations>),
    Alpaca(Labelled<Alpaca>),
    QueryResponse(Labelled<QueryResponse>),
}

/// A row for PPO: what is asked. Rows with answers serve without them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PromptRow {
    Answered(Box<SftRow>),
    Prompt(Prompt),
}
