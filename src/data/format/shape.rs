//! Which shape a row has, as its keys show.

use serde_json::{Map, Value};

use super::label::LABELS;
use crate::data::spec::Format;

/// What a kind of stage needs of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Prompts and answers, or conversations. Of preference rows, the chosen side is used.
    Sft,
    /// A prompt with a chosen and a rejected answer.
    Preference,
    /// A prompt with one answer and whether it is desirable. With `unpair`, a pair, which makes two such
    /// rows.
    Unpaired { unpair: bool },
    /// A prompt. Of rows with answers, only the prompt is used.
    Prompt,
}

impl Need {
    /// The name that goes into digests.
    pub fn name(self) -> &'static str {
        match self {
            Need::Sft => "sft",
            Need::Preference => "preference",
            Need::Unpaired { unpair: false } => "unpaired",
            Need::Unpaired { unpair: true } => "unpaired pairs",
            Need::Prompt => "prompt",
        }
    }

    /// Advice for a stage whose data has KTO's other form of rows: pairs instead of rows with a label, or
    /// the reverse.
    pub fn unpair_advice(self, row: &Map<String, Value>) -> Option<&'static str> {
        let has = |unpair| RowShape::detect(row, Need::Unpaired { unpair }, None).is_some();
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

    /// The formats that can be used, for messages.
    pub fn expected(self) -> &'static str {
        match self {
            Need::Sft => {
                "`messages`, `conversations`, `prompt` and `completion` (or `response`), `instruction` and \
                 `output`, `query` and `response`, `text`, or a preference row; map other names with `columns`"
            }
            Need::Unpaired { unpair: false } => {
                "`prompt`, `completion` and `label`, or `messages` and `label`; map other names with `columns`"
            }
            Need::Prompt => "a `prompt`, or any row of the other formats; map other names with `columns`",
            Need::Preference | Need::Unpaired { unpair: true } => {
                "`chosen` and `rejected` (with `prompt`, `instruction` or `conversations`), `messages` and \
                 `rejected_response` or `rejected_messages`, `query`, `response` and `rejected_response`, or \
                 answers side by side and which is the better: `responses` and `chosen_index`, `response_0`, \
                 `response_1` and `better_response_id`, `response_1`, `response_2` and `preference_strength`, \
                 `response_a`, `response_b` (or `conversation_a`, `conversation_b`) and `winner`; map other \
                 names with `columns`"
            }
        }
    }
}

/// One way to write a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowShape {
    /// `{prompt, chosen, rejected}`, `{instruction, input, chosen, rejected}`, or `{chosen, rejected}`
    /// with the common prompt implied.
    ChosenRejected,
    /// ShareGPT `{conversations, chosen, rejected}`.
    ConversationsChosenRejected,
    /// ms-swift `{messages, rejected_response}` and `{messages, rejected_messages}`.
    MessagesRejected,
    /// Older ms-swift `{system, query, history, response, rejected_response}`.
    QueryResponseRejected,
    /// `{prompt, responses, chosen_index}`.
    ChosenIndex,
    /// PKU-SafeRLHF `{prompt, response_0, response_1, better_response_id}`.
    BetterResponse,
    /// HelpSteer2-Preference `{prompt, response_1, response_2, preference_strength}`.
    PreferenceStrength,
    /// `{prompt, response_a, response_b, winner}`.
    Winner,
    /// Arena `{conversation_a, conversation_b, winner}`.
    ConversationWinner,
    /// Older Alpaca `{instruction, input, output}`, `output` holding both answers.
    AlpacaPair,
    Messages,
    /// ShareGPT `{conversations}`.
    Conversations,
    PromptCompletion,
    PromptResponse,
    /// `{instruction, input, output, system, history}`.
    Alpaca,
    QueryResponse,
    /// `{prompt}` alone.
    Prompt,
    /// `{text}`, trained whole.
    Text,
}

/// A shape, the format it belongs to, and the keys by which it is recognised: several sets of them, any of
/// which will do.
type Told = (RowShape, Format, &'static [&'static [&'static str]]);

/// The shapes and the keys by which they are recognised, the more specific ones first.
const SHAPES: [Told; 18] = [
    (RowShape::ConversationsChosenRejected, Format::Preference, &[&["conversations", "chosen", "rejected"]]),
    (RowShape::ChosenRejected, Format::Preference, &[&["chosen", "rejected"]]),
    (
        RowShape::MessagesRejected,
        Format::Preference,
        &[&["messages", "rejected_response"], &["messages", "rejected_messages"]],
    ),
    (RowShape::QueryResponseRejected, Format::Preference, &[&["query", "response", "rejected_response"]]),
    (RowShape::ChosenIndex, Format::Preference, &[&["responses", "chosen_index"]]),
    (RowShape::BetterResponse, Format::Preference, &[&["response_0", "response_1", "better_response_id"]]),
    (
        RowShape::PreferenceStrength,
        Format::Preference,
        &[&["response_1", "response_2", "preference_strength"]],
    ),
    (RowShape::Winner, Format::Preference, &[&["response_a", "response_b", "winner"]]),
    (RowShape::ConversationWinner, Format::Preference, &[&["conversation_a", "conversation_b", "winner"]]),
    (RowShape::AlpacaPair, Format::Preference, &[&["instruction", "output"]]),
    (RowShape::Messages, Format::Sft, &[&["messages"]]),
    (RowShape::Conversations, Format::Sft, &[&["conversations"]]),
    (RowShape::PromptCompletion, Format::Sft, &[&["prompt", "completion"]]),
    (RowShape::Alpaca, Format::Sft, &[&["instruction", "output"]]),
    (RowShape::QueryResponse, Format::Sft, &[&["query", "response"]]),
    (RowShape::PromptResponse, Format::Sft, &[&["prompt", "response"]]),
    (RowShape::Prompt, Format::Prompt, &[&["prompt"]]),
    (RowShape::Text, Format::Sft, &[&["text"]]),
];

impl RowShape {
    /// The shape of a row, among those that can be used for `need` and belong to `format`, if that is
    /// given.
    pub fn detect(row: &Map<String, Value>, need: Need, format: Option<Format>) -> Option<RowShape> {
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
        let fits = |shape: RowShape| match shape {
            // The output of an Alpaca row is one answer, or a list of both.
            RowShape::AlpacaPair => row.get("output").is_some_and(Value::is_array),
            // Text that is trained whole has no question and no answer.
            RowShape::Text => need == Need::Sft,
            _ => true,
        };
        SHAPES
            .iter()
            .filter(|(shape, of, _)| serves(*of) && named(*of) && fits(*shape))
            .find(|(_, _, keys)| keys.iter().any(|keys| keys.iter().all(|key| row.contains_key(*key))))
            .map(|(shape, _, _)| *shape)
    }

    /// Whether rows of the shape have one answer, or none, rather than a better and a worse one.
    pub fn has_one_answer(self) -> bool {
        SHAPES.iter().any(|(shape, format, _)| *shape == self && *format != Format::Preference)
    }
}
