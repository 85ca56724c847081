//! Rows with one answer, or with none.

use schemars::JsonSchema;
use serde::Deserialize;

use super::pair::PreferenceRow;
use super::turn::{Beside, History, Turn, Turns};
use crate::data::format::label::Label;

/// A conversation; every assistant turn is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Messages {
    pub messages: Vec<Turn>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// ShareGPT: a conversation; every assistant turn is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Conversations {
    pub conversations: Vec<Turn>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// A prompt and its answer; the answer is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct PromptCompletion {
    pub prompt: Turns,
    /// Follows a `prompt` of text on a line of its own.
    #[serde(default)]
    pub input: Option<String>,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
    pub completion: Turns,
    #[serde(flatten)]
    pub beside: Beside,
}

/// A prompt and its answer under its other name; the answer is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct PromptResponse {
    pub prompt: Turns,
    /// Follows a `prompt` of text on a line of its own.
    #[serde(default)]
    pub input: Option<String>,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
    pub response: Turns,
    #[serde(flatten)]
    pub beside: Beside,
}

/// Alpaca: `input` follows `instruction` in the question; the output is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Alpaca {
    pub instruction: String,
    #[serde(default)]
    pub input: Option<String>,
    pub output: String,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// `{query, response}`; the response is trained.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct QueryResponse {
    pub query: String,
    /// Follows `query` on a line of its own.
    #[serde(default)]
    pub input: Option<String>,
    pub response: String,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// Text that is trained whole, as it is, without a chat template; the end token follows it.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Text {
    pub text: String,
}

/// A row for supervised fine-tuning. Preference rows serve by their chosen side.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SftRow {
    Preference(Box<PreferenceRow>),
    Messages(Messages),
    Conversations(Conversations),
    PromptCompletion(PromptCompletion),
    PromptResponse(PromptResponse),
    Alpaca(Alpaca),
    QueryResponse(QueryResponse),
    Text(Text),
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
    pub fn label(self) -> Label {
        match self {
            Verdict::Label { label } | Verdict::KtoTag { kto_tag: label } => label,
        }
    }
}

/// A prompt alone.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(rename = "Prompt")]
pub struct PromptOnly {
    pub prompt: Turns,
    /// Follows a `prompt` of text on a line of its own.
    #[serde(default)]
    pub input: Option<String>,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// A row for KTO: a question, an answer, and whether the answer is desirable. Of a conversation the
/// last assistant turn is the answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum UnpairedRow {
    PromptCompletion(Box<Labelled<PromptCompletion>>),
    PromptResponse(Box<Labelled<PromptResponse>>),
    Messages(Box<Labelled<Messages>>),
    Conversations(Box<Labelled<Conversations>>),
    Alpaca(Box<Labelled<Alpaca>>),
    QueryResponse(Box<Labelled<QueryResponse>>),
}

/// A row for PPO: what is asked. Rows with answers serve without them.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum PromptRow {
    Preference(Box<PreferenceRow>),
    Messages(Messages),
    Conversations(Conversations),
    PromptCompletion(Box<PromptCompletion>),
    PromptResponse(Box<PromptResponse>),
    Alpaca(Box<Alpaca>),
    QueryResponse(Box<QueryResponse>),
    Prompt(Box<PromptOnly>),
}
