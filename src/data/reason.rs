//! Why a row was cut, dropped or refused.
//!
//! | reason | effect |
//! |---|---|
//! | `not UTF-8`, `not JSON: …`, `not an object`, `not a CSV record: …` | malformed |
//! | `an object has the key … twice …`, `longer than max_row_bytes …` | malformed |
//! | `no known format …`, `missing /…`, `wrong type at /…`, `unknown role …` | malformed |
//! | `images at /…`, `/… contradicts /…`, `/… would be lost …` | malformed |
//! | `empty prompt`, `empty answer`, `no answer`, `prompt ends in an answer`, `prompt asks nothing` | dropped |
//! | `answer is not the assistant's`, `tie` | dropped |
//! | `chosen equals rejected …`, `undesirable answer`, `no common prompt` | dropped |
//! | `prompt fills max_length`, `longer than max_length`, `prompt is not a prefix …` | dropped |
//! | `the template fails: …`, `the template leaves out …`, `the template reads no reasoning: …` | dropped |
//! | `the row is not to be trained: …`, `no turn is to be trained`, `a turn that is not to be trained …`, `reserved template variable …` | dropped |
//! | `the template leaves no token …`, `no end-of-turn token …`, `a tool's result …` | dropped |
//! | `cut to max_length`, `cut to max_prompt_length` | cut: the row is still trained on |
//!
//! Malformed rows count against `max_bad_rows`: they show that a file is not what the recipe says. A
//! dropped row is well-formed but cannot be used; data sets have such rows, so they do not stop a run.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::format::known_roles;

/// The number of characters of a value that a reason quotes.
const QUOTED: usize = 60;

/// The number of keys that a reason names.
const NAMED: usize = 40;

/// What happens to a row for a [`RowReason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// The row is refused, and counted against `max_bad_rows`.
    Malformed,
    /// The row is well-formed, but cannot be used.
    Dropped,
    /// The row is kept without some of its tokens.
    Cut,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum RowReason {
    NotUtf8,
    NotJson(String),
    NotAnObject,
    /// An object has this key twice.
    KeyTwice(String),
    NotCsv(String),
    /// The row has more bytes than `max_row_bytes`.
    TooLong {
        bound: usize,
    },
    /// The row's keys fit no format that the stage can read.
    NoKnownFormat {
        keys: Vec<String>,
    },
    Missing {
        /// JSON pointer to the missing key.
        pointer: String,
        /// The keys that the row has instead.
        keys: Vec<String>,
    },
    WrongType {
        /// JSON pointer to the value.
        pointer: String,
        /// The value as JSON, shortened.
        found: String,
        /// What is accepted there, in words.
        accepted: String,
    },
    UnknownRole {
        role: String,
        pointer: String,
    },
    /// A picture, a video or a sound. Models are trained on text alone.
    Media {
        what: String,
        pointer: String,
    },
    /// Two keys that contradict each other, and why.
    Contradiction {
        pointer: String,
        other: String,
        why: String,
    },
    /// A key with a part of the question that the row's format has no place for.
    WouldBeLost {
        pointer: String,
    },
    EmptyPrompt,
    EmptyAnswer,
    NoAnswer,
    /// The assistant has spoken already: there is nothing to answer.
    PromptEndsInAnswer,
    /// Nobody but the system speaks.
    NoQuestion,
    /// The answer begins or ends with a turn of another role.
    AnswerOfOthers {
        role: String,
    },
    /// Two answers of which neither is better.
    Tie(String),
    ChosenEqualsRejected,
    /// The tokens of both answers are the same, because the template trims what differs.
    EqualOnceRendered,
    /// The answers differ only in what `max_length` cuts off.
    EqualOnceCut,
    /// A row labelled as undesirable, which an sft stage would train the model to imitate.
    UndesirableAnswer,
    /// How the two sides begin.
    NoCommonPrompt {
        chosen: String,
        rejected: String,
    },
    PromptFillsMaxLength,
    /// The row is too long for a stage in which nothing may be cut, because a score is that of a whole
    /// answer.
    LongerThanMaxLength,
    PromptNotAPrefix,
    /// The message of the template or of its engine.
    TemplateFails(String),
    /// The part of the row that is missing from the text which the template makes of it.
    ContentLost(String),
    /// The key with the reasoning, and the turn.
    ReasoningUnread(String),
    /// The key by which the row says that it is not to be trained, and its value.
    RowNotTrained {
        pointer: String,
        value: String,
    },
    /// No turn of the row is to be trained.
    NothingTrained,
    /// A turn that is not to be trained cannot be found in the text.
    TurnNotFound,
    /// The template leaves nothing of the row to train.
    NothingLeft,
    /// How the trained text ends, and what should be there.
    NoEnd(String),
    /// Which result the template writes into an assistant's turn.
    ResultInTurn(String),
    /// The variable and why it is not to be set.
    ReservedKwarg(String),
    CutToMaxLength,
    CutToMaxPromptLength,
}

impl RowReason {
    /// A value of a wrong type. `accepted` says in words what is accepted there.
    pub fn wrong_type(pointer: impl Into<String>, found: &Value, accepted: impl Into<String>) -> Self {
        let found = quoted(&found.to_string());
        RowReason::WrongType { pointer: pointer.into(), found, accepted: accepted.into() }
    }

    pub fn contradiction(pointer: &str, other: &str, why: impl Into<String>) -> Self {
        RowReason::Contradiction { pointer: pointer.into(), other: other.into(), why: why.into() }
    }

    pub fn effect(&self) -> Effect {
        use RowReason::*;
        match self {
            NotUtf8
            | NotJson(_)
            | NotAnObject
            | KeyTwice(_)
            | NotCsv(_)
            | TooLong { .. }
            | NoKnownFormat { .. }
            | Missing { .. }
            | WrongType { .. }
            | UnknownRole { .. }
            | Media { .. }
            | Contradiction { .. }
            | WouldBeLost { .. } => Effect::Malformed,
            UndesirableAnswer
            | EmptyPrompt
            | EmptyAnswer
            | NoAnswer
            | PromptEndsInAnswer
            | NoQuestion
            | AnswerOfOthers { .. }
            | Tie(_)
            | ChosenEqualsRejected
            | EqualOnceRendered
            | EqualOnceCut
            | NoCommonPrompt { .. }
            | PromptFillsMaxLength
            | LongerThanMaxLength
            | PromptNotAPrefix
            | TemplateFails(_)
            | ContentLost(_)
            | ReasoningUnread(_)
            | RowNotTrained { .. }
            | NothingTrained
            | TurnNotFound
            | NothingLeft
            | NoEnd(_)
            | ResultInTurn(_)
            | ReservedKwarg(_) => Effect::Dropped,
            CutToMaxLength | CutToMaxPromptLength => Effect::Cut,
        }
    }

    /// The reason without the details of one row, by which rows are counted.
    pub fn kind(&self) -> &'static str {
        match self {
            RowReason::NotUtf8 => "not UTF-8",
            RowReason::NotJson(_) => "not JSON",
            RowReason::NotAnObject => "not an object",
            RowReason::KeyTwice(_) => "a key twice",
            RowReason::NotCsv(_) => "not a CSV record",
            RowReason::TooLong { .. } => "longer than max_row_bytes",
            RowReason::NoKnownFormat { .. } => "no known format",
            RowReason::Missing { .. } => "missing key",
            RowReason::WrongType { .. } => "wrong type",
            RowReason::UnknownRole { .. } => "unknown role",
            RowReason::Media { .. } => "not text alone",
            RowReason::Contradiction { .. } => "contradictory keys",
            RowReason::WouldBeLost { .. } => "key that would be lost",
            RowReason::EmptyPrompt => "empty prompt",
            RowReason::EmptyAnswer => "empty answer",
            RowReason::NoAnswer => "no answer",
            RowReason::PromptEndsInAnswer => "prompt ends in an answer",
            RowReason::NoQuestion => "prompt asks nothing",
            RowReason::AnswerOfOthers { .. } => "answer is not the assistant's",
            RowReason::Tie(_) => "tie",
            RowReason::ChosenEqualsRejected => "chosen equals rejected",
            RowReason::EqualOnceRendered => "chosen equals rejected in the tokens that are trained",
            RowReason::EqualOnceCut => "chosen equals rejected once cut to max_length",
            RowReason::UndesirableAnswer => "undesirable answer",
            RowReason::NoCommonPrompt { .. } => "no common prompt",
            RowReason::PromptFillsMaxLength => "prompt fills max_length",
            RowReason::LongerThanMaxLength => "longer than max_length",
            RowReason::PromptNotAPrefix => "prompt is not a prefix of the rendered row",
            RowReason::TemplateFails(_) => "the template fails",
            RowReason::ContentLost(_) => "the template leaves out content",
            RowReason::ReasoningUnread(_) => "the template reads no reasoning",
            RowReason::RowNotTrained { .. } => "the row is not to be trained",
            RowReason::NothingTrained => "no turn is to be trained",
            RowReason::TurnNotFound => "a turn that is not to be trained cannot be found in the text",
            RowReason::NothingLeft => "the template leaves no token to train on in this row",
            RowReason::NoEnd(_) => {
                "no end-of-turn token is trained after an answer, so the model would not learn to stop"
            }
            RowReason::ResultInTurn(_) => {
                "a tool's result stands in the assistant's turn and cannot be told from it"
            }
            RowReason::ReservedKwarg(_) => "reserved template variable",
            RowReason::CutToMaxLength => "cut to max_length",
            RowReason::CutToMaxPromptLength => "cut to max_prompt_length",
        }
    }

    /// The reason with its pointers renamed by `name`.
    pub fn with_pointers(mut self, name: impl Fn(&str) -> String) -> Self {
        match &mut self {
            RowReason::Missing { pointer, .. }
            | RowReason::WrongType { pointer, .. }
            | RowReason::UnknownRole { pointer, .. }
            | RowReason::Media { pointer, .. }
            | RowReason::RowNotTrained { pointer, .. }
            | RowReason::WouldBeLost { pointer } => *pointer = name(pointer),
            RowReason::Contradiction { pointer, other, .. } => {
                *pointer = name(pointer);
                *other = name(other);
            }
            _ => {}
        }
        self
    }
}

impl fmt::Display for RowReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RowReason::NotJson(why)
            | RowReason::NotCsv(why)
            | RowReason::TemplateFails(why)
            | RowReason::ReasoningUnread(why)
            | RowReason::NoEnd(why)
            | RowReason::ResultInTurn(why)
            | RowReason::ReservedKwarg(why) => write!(f, "{}: {why}", self.kind()),
            RowReason::KeyTwice(key) => {
                let key = quoted(key);
                write!(
                    f,
                    "an object has the key `{key}` twice, and only one of both would be read; take one out"
                )
            }
            RowReason::TooLong { bound } => {
                write!(
                    f,
                    "longer than `max_row_bytes` = {bound}; raise it for this data set if the row is sound"
                )
            }
            RowReason::ContentLost(what) => write!(f, "the template leaves out {what}"),
            RowReason::NoKnownFormat { keys } => {
                write!(f, "no known format: the row has {}", named(keys))
            }
            RowReason::Missing { pointer, keys } => {
                write!(f, "missing {pointer}")?;
                let (above, key) = pointer.rsplit_once('/').unwrap_or_default();
                match (above.is_empty(), keys.is_empty()) {
                    (_, true) => Ok(()),
                    (false, false) => write!(f, ": {above} has {}{}", named(keys), form(key)),
                    (true, false) => write!(
                        f,
                        ": the row has {}; if one of them is it, say so: `columns = {{ {key} = \"…\" }}`",
                        named(keys)
                    ),
                }
            }
            RowReason::WrongType { pointer, found, accepted } => {
                write!(f, "wrong type at {pointer}: {found}; accepted: {accepted}")
            }
            RowReason::UnknownRole { role, pointer } => write!(
                f,
                "unknown role `{role}` at {pointer}; say whose it is, e.g. `roles = {{ user = [{role:?}] }}`: \
                 {}",
                known_roles()
            ),
            RowReason::Media { what, pointer } => write!(
                f,
                "{what} at {pointer}: models are trained on text alone; take such rows out, or what stands \
                 for pictures and sounds out of them"
            ),
            RowReason::Contradiction { pointer, other, why } => {
                write!(f, "{pointer} contradicts {other}: {why}")
            }
            RowReason::WouldBeLost { pointer } => write!(
                f,
                "{pointer} would be lost: rows of this format have no place for it; put it into the \
                 question, or take it out"
            ),
            RowReason::AnswerOfOthers { role } => {
                write!(f, "{}: it begins or ends with a turn of `{role}`", self.kind())
            }
            RowReason::RowNotTrained { pointer, value } => write!(f, "{}: {pointer} is {value}", self.kind()),
            RowReason::Tie(found) => write!(f, "tie: {found}"),
            RowReason::NoCommonPrompt { chosen, rejected } => {
                write!(f, "no common prompt: chosen begins with {chosen}, rejected with {rejected}")
            }
            plain => f.write_str(plain.kind()),
        }
    }
}

/// A text, shortened for an error.
pub fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The form of the object that lacks a key, if the key shows what kind of object it is.
fn form(key: &str) -> &'static str {
    match key {
        "role" | "content" | "from" | "value" => "; a turn is `{role, content}` or `{from, value}`",
        "text" => "; a part is `{\"type\": \"text\", \"text\": \"…\"}`",
        "name" | "arguments" => "; a call is `{\"name\": \"…\", \"arguments\": {…}}`",
        _ => "",
    }
}

fn named(keys: &[String]) -> String {
    match keys {
        [] => "no keys".to_owned(),
        keys if keys.len() > NAMED => {
            format!("`{}` and {} more", keys[..NAMED].join("`, `"), keys.len() - NAMED)
        }
        keys => format!("`{}`", keys.join("`, `")),
    }
}
