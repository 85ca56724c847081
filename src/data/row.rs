//! A row, whatever its format was: who says what, and which answers are trained.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::source;
use crate::template::Message;

/// Where a row comes from, for keys, errors and the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowOrigin {
    /// The row's index in the data set as read (0-based, over all files, unusable rows included).
    pub row: usize,
    #[serde(with = "shared_path")]
    pub file: Arc<PathBuf>,
    /// Line of the file at which the row begins; of a `.parquet` file the row's number (both from 1).
    pub line: usize,
}

mod shared_path {
    use std::path::PathBuf;
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(path: &Arc<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_path().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<PathBuf>, D::Error> {
        PathBuf::deserialize(deserializer).map(Arc::new)
    }
}

impl fmt::Display for RowOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {} {}", self.file.display(), source::unit(&self.file), self.line)
    }
}

/// What a row says.
#[derive(Debug, Clone, PartialEq)]
pub enum RowTurns {
    /// A prompt and the answers that continue it; everything after the prompt is trained. Preference rows
    /// have `[chosen, rejected]` if they are read as such, and one answer if they are read as sft or
    /// unpaired rows; prompts have none.
    Answers { prompt: Vec<Message>, answers: Vec<Vec<Message>> },
    /// A whole conversation, of which every turn of the assistant is trained.
    Conversation(Vec<Message>),
    /// Text that is trained whole, as it is, without a template; the end token follows it.
    Text(String),
}

/// All that a row says, without where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    pub turns: RowTurns,
    pub tools: Option<Value>,
    pub chat_template_kwargs: Option<Map<String, Value>>,
    pub margin: Option<f64>,
    pub label: Option<bool>,
}

/// One usable row.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub origin: RowOrigin,
    pub turns: RowTurns,
    /// Tool schemas for the template, as the row gives them.
    pub tools: Option<Value>,
    /// Further variables of the template, as the row gives them.
    pub chat_template_kwargs: Option<Map<String, Value>>,
    /// How much better the chosen answer is, if the row says so.
    pub margin: Option<f64>,
    /// Unpaired rows: whether the answer is desirable.
    pub label: Option<bool>,
    /// All right answers to the row's question (`accepted_answers`), if the row has them. They are not
    /// trained on; what a model answers to held-out rows is compared with them.
    pub accepted_answers: Vec<String>,
}

impl Row {
    /// Whether the row asks and has no answer.
    pub fn is_prompt(&self) -> bool {
        matches!(&self.turns, RowTurns::Answers { answers, .. } if answers.is_empty())
    }

    /// Whether there is an answer, or only a question.
    pub fn is_answered(&self) -> bool {
        match &self.turns {
            RowTurns::Answers { answers, .. } => !answers.is_empty(),
            RowTurns::Conversation(_) | RowTurns::Text(_) => true,
        }
    }

    /// The messages that a model would be asked to answer: the prompt, or a conversation up to its
    /// first assistant turn.
    pub fn question(&self) -> &[Message] {
        match &self.turns {
            RowTurns::Answers { prompt, .. } => prompt,
            RowTurns::Conversation(messages) => {
                let end = messages.iter().position(|message| message.role == "assistant");
                &messages[..end.unwrap_or(messages.len())]
            }
            RowTurns::Text(_) => &[],
        }
    }

    /// All texts of the row, for training a tokenizer: prompt, then each answer.
    pub fn texts(&self) -> Vec<String> {
        match &self.turns {
            RowTurns::Answers { prompt, answers } => {
                prompt.iter().chain(answers.iter().flatten()).map(Message::text).collect()
            }
            RowTurns::Conversation(messages) => messages.iter().map(Message::text).collect(),
            RowTurns::Text(text) => vec![text.clone()],
        }
    }
}
