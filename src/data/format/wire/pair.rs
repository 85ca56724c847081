//! Rows of preferences: one question, a better and a worse answer.

use schemars::JsonSchema;
use serde::Deserialize;

use super::turn::{Answers, Beside, History, Lists, Turn, Turns};
use crate::data::format::index::Index;

/// What is asked, in whichever keys: `prompt`, `instruction` or `query`, with `input` and `history`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
pub struct Question {
    #[serde(default)]
    pub prompt: Option<Turns>,
    #[serde(default)]
    pub instruction: Option<String>,
    #[serde(default)]
    pub query: Option<String>,
    /// Follows what is asked on a line of its own.
    #[serde(default)]
    pub input: Option<String>,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
}

/// `{prompt, chosen, rejected}`, or Alpaca's `{instruction, input, chosen, rejected}`; without a
/// question it is what chosen and rejected begin with. Each of several rejected answers makes a pair.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ChosenRejected {
    #[serde(flatten)]
    pub question: Question,
    pub chosen: Answers,
    pub rejected: Answers,
    /// How much better the chosen answer is.
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// Older Alpaca: `output` holds the better and the worse answer.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct AlpacaPair {
    pub instruction: String,
    #[serde(default)]
    pub input: Option<String>,
    /// The chosen answer, then the rejected one.
    pub output: [String; 2],
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// ShareGPT `{conversations, chosen, rejected}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ConversationsChosenRejected {
    pub conversations: Vec<Turn>,
    pub chosen: Answers,
    pub rejected: Answers,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// ms-swift: the conversation with the chosen answer, and the rejected answer or answers.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct MessagesRejectedResponse {
    pub messages: Vec<Turn>,
    pub rejected_response: Answers,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// ms-swift: the conversation with the chosen answer, and the same with the rejected one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct MessagesRejectedMessages {
    pub messages: Vec<Turn>,
    pub rejected_messages: Lists,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// Older ms-swift: `{system, query, history, response, rejected_response}`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct QueryResponseRejected {
    pub query: String,
    /// Follows `query` on a line of its own.
    #[serde(default)]
    pub input: Option<String>,
    pub response: String,
    pub rejected_response: Answers,
    /// Earlier questions and answers.
    #[serde(default)]
    pub history: Option<History>,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// Answers in a list, and the place (from 0) of the best of them. All others are rejected, or the one
/// at `rejected_index`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ChosenIndex {
    #[serde(flatten)]
    pub question: Question,
    pub responses: Vec<Turns>,
    pub chosen_index: Index,
    #[serde(default)]
    pub rejected_index: Option<Index>,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// PKU-SafeRLHF: two answers, and the number of the better one.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct BetterResponse {
    #[serde(flatten)]
    pub question: Question,
    pub response_0: Turns,
    pub response_1: Turns,
    /// 0 or 1.
    pub better_response_id: Index,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// HelpSteer2-Preference: two answers, and a number below 0 where the first is better, above 0 where
/// the second is, 0 where neither is.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct PreferenceStrength {
    #[serde(flatten)]
    pub question: Question,
    pub response_1: Turns,
    pub response_2: Turns,
    pub preference_strength: f64,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// Two answers, and which of them won: `a`, `b` (also as `model_a`, `response_a`) or `tie`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct Winner {
    #[serde(flatten)]
    pub question: Question,
    pub response_a: Turns,
    pub response_b: Turns,
    pub winner: String,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
}

/// Arena: two conversations that begin alike, and which of them won: `model_a`, `model_b` or `tie`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
pub struct ConversationWinner {
    pub conversation_a: Vec<Turn>,
    pub conversation_b: Vec<Turn>,
    pub winner: String,
    #[serde(default)]
    pub margin: Option<f64>,
    #[serde(flatten)]
    pub beside: Beside,
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
    ChosenIndex(ChosenIndex),
    BetterResponse(BetterResponse),
    PreferenceStrength(PreferenceStrength),
    Winner(Winner),
    ConversationWinner(ConversationWinner),
    AlpacaPair(AlpacaPair),
}
