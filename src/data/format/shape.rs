//! Which shape a row has, told by its keys.

use serde_json::{Map, Value};

use crate::data::spec::Format;

/// What a kind of stage reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Prompts and answers, or conversations. Preference rows serve by their chosen side.
    Sft,
    /// A prompt with a chosen and a rejected answer.
    Preference,
    /// A prompt with one answer and whether it is desirable. With `unpair`, pairs, each of which
    /// makes two such rows.
    Unpaired { unpair: bool },
    /// A prompt; rows with answers serve without them.
    Prompt,
}

impl Need {
    /// A name for digests.
    pub fn name(self) -> &'static str {
        match self {
            Need::Sft => "sft",
            Need::Preference => "preference",
            Need::Unpaired { unpair: false } => "unpaired",
            Need::Unpaired { unpair: true } => "unpaired pairs",
            Need::Prompt => "prompt",
        }
    }

    /// What a stage should be told that reads rows of the other way of giving KTO its answers: pairs
    /// for rows with a label, or the reverse.
    pub fn unpair_advice(self, row: &Map<String, Value>) -> Option<&'static str> {
        let has = |unpair| Shape::detect(row, Need::Unpaired { unpair }, None).is_some();
        match self {
            Need::Unpaired { unpair: false } if has(true) => {
                Some("has pairs; add `unpair = true` to the stage to use each answer as a row")
            }
            Need::Unpaired { unpair: true } if has(false) => {
                Some("has one labelled answer a row; take `unpair = true` from the stage")
            }
            _ => None,
        }
    }

    /// The formats that serve, for messages.
    pub fn expected(self) -> &'static str {
        match self {
            Need::Sft => {
                "`messages`, `conversations`, `prompt` and `completion`, `instruction` and `output`, \
                 `query` and `response`, or a preference row; map other names with `columns`"
            }
            Need::Unpaired { unpair: false } => {
                "`prompt`, `completion` and `label`, or `messages` and `label`; map other names with `columns`"
            }
            Need::Prompt => "a `prompt`, or any row of the other formats; map other names with `columns`",
            Need::Preference | Need::Unpaired { unpair: true } => {
                "`chosen` and `rejected` (with `prompt` or `conversations`), `messages` and \
                 `rejected_response` or `rejected_messages`, or `query`, `response` and \
                 `rejected_response`; map other names with `columns`"
            }
        }
    }
}

/// One way to write a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `{prompt, chosen, rejected}`, or `{chosen, rejected}` with the common prompt implied.
    ChosenRejected,
    /// ShareGPT `{conversations, chosen, rejected}`.
    ConversationsChosenRejected,
    /// ms-swift `{messages, rejected_response}` and `{messages, rejected_messages}`.
    MessagesRejected,
    /// Older ms-swift `{system, query, history, response, rejected_response}`.
    QueryResponseRejected,
    Messages,
    /// ShareGPT `{conversations}`.
    Conversations,
    PromptCompletion,
    /// `{instruction, input, output, system, history}`.
    Alpaca,
    QueryResponse,
    /// `{prompt}` alone.
    Prompt,
}

/// Keys that hold whether an answer is desirable.
const LABELS: [&str; 2] = ["label", "kto_tag"];

/// Shapes and the keys that tell them, the more particular first.
const SHAPES: [(Shape, Format, &[&[&str]]); 10] = [
    (Shape::ConversationsChosenRejected, Format::Preference, &[&["conversations", "chosen", "rejected"]]),
    (Shape::ChosenRejected, Format::Preference, &[&["chosen", "rejected"]]),
    (
        Shape::MessagesRejected,
        Format::Preference,
        &[&["messages", "rejected_response"], &["messages", "rejected_messages"]],
    ),
    (Shape::QueryResponseRejected, Format::Preference, &[&["query", "response", "rejected_response"]]),
    (Shape::Messages, Format::Sft, &[&["messages"]]),
    (Shape::Conversations, Format::Sft, &[&["conversations"]]),
    (Shape::PromptCompletion, Format::Sft, &[&["prompt", "completion"]]),
    (Shape::Alpaca, Format::Sft, &[&["instruction", "output"]]),
    (Shape::QueryResponse, Format::Sft, &[&["query", "response"]]),
    (Shape::Prompt, Format::Prompt, &[&["prompt"]]),
];

impl Shape {
    /// The shape of a row among those that serve `need` and belong to `format`, if one is named.
    pub fn detect(row: &Map<String, Value>, need: Need, format: Option<Format>) -> Option<Shape> {
        // Unpaired rows are sft rows with a label.
        let labelled = LABELS.iter().any(|key| row.contains_key(*key));
        let named = |of: Format| {
            format.is_none_or(|format| {
                format == of || (format == Format::Unpaired && of == Format::Sft && labelled)
            })
        };
        let serves = |of: Format| match need {
            Need::Sft => matches!(of, Format::Sft | Format::Preference) && format != Some(Format::Unpaired),
            Need::Preference | Need::Unpaired { unpair: true } => of == Format::Preference,
            Need::Unpaired { unpair: false } => of == Format::Sft && labelled && format != Some(Format::Sft),
            Need::Prompt => true,
        };
        SHAPES
            .iter()
            .filter(|(_, of, _)| serves(*of) && named(*of))
            .find(|(_, _, keys)| keys.iter().any(|keys| keys.iter().all(|key| row.contains_key(*key))))
            .map(|(shape, _, _)| *shape)
    }
}
