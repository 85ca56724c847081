//! Why a row was cut, dropped or refused.
//!
//! | reason | effect |
//! |---|---|
//! | `not UTF-8`, `not JSON: …`, `not an object`, `not a CSV record: …` | malformed |
//! | `no known format …`, `missing /…`, `wrong type at /…`, `unknown role …` | malformed |
//! | `empty prompt`, `empty answer`, `no answer`, `roles do not alternate` | dropped |
//! | `chosen equals rejected …`, `undesirable answer`, `no common prompt` | dropped |
//! | `prompt fills max_length`, `longer than max_length`, `prompt is not a prefix …` | dropped |
//! | `cut to max_length`, `cut to max_prompt_length` | cut: the row is still trained on |
//!
//! Malformed rows count against `max_bad_rows`: they say that a file is not what the recipe takes it
//! for. A dropped row is well-formed but of no use; data sets have them, so they stop nothing.

use std::fmt;

use serde::Serialize;

/// What happens to a row for a [`Reason`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Refused, and counted against `max_bad_rows`.
    Malformed,
    /// Well-formed, of no use.
    Dropped,
    /// Kept, without some of its tokens.
    Cut,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    NotUtf8,
    NotJson(String),
    NotAnObject,
    NotCsv(String),
    /// The row's keys fit no format that the stage can read.
    NoKnownFormat {
        keys: Vec<String>,
    },
    /// JSON pointer to the missing key.
    Missing(String),
    /// JSON pointer to the value.
    WrongType(String),
    UnknownRole {
        role: String,
        pointer: String,
    },
    EmptyPrompt,
    EmptyAnswer,
    NoAnswer,
    RolesDoNotAlternate,
    ChosenEqualsRejected,
    /// The tokens of both answers are the same: the template trims what tells them apart.
    EqualOnceRendered,
    /// The answers differ only in what `max_length` cuts off.
    EqualOnceCut,
    /// A labelled row that an sft stage would imitate.
    UndesirableAnswer,
    NoCommonPrompt,
    PromptFillsMaxLength,
    /// Where nothing may be cut: a score is that of a whole answer.
    LongerThanMaxLength,
    PromptNotAPrefix,
    CutToMaxLength,
    CutToMaxPromptLength,
}

impl Reason {
    pub fn effect(&self) -> Effect {
        use Reason::*;
        match self {
            NotUtf8
            | NotJson(_)
            | NotAnObject
            | NotCsv(_)
            | NoKnownFormat { .. }
            | Missing(_)
            | WrongType(_)
            | UnknownRole { .. } => Effect::Malformed,
            UndesirableAnswer | EmptyPrompt | EmptyAnswer | NoAnswer | RolesDoNotAlternate
            | ChosenEqualsRejected | EqualOnceRendered | EqualOnceCut | NoCommonPrompt
            | PromptFillsMaxLength | LongerThanMaxLength | PromptNotAPrefix => Effect::Dropped,
            CutToMaxLength | CutToMaxPromptLength => Effect::Cut,
        }
    }

    /// The reason without what is particular to a row, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Reason::NotUtf8 => "not UTF-8",
            Reason::NotJson(_) => "not JSON",
            Reason::NotAnObject => "not an object",
            Reason::NotCsv(_) => "not a CSV record",
            Reason::NoKnownFormat { .. } => "no known format",
            Reason::Missing(_) => "missing key",
            Reason::WrongType(_) => "wrong type",
            Reason::UnknownRole { .. } => "unknown role",
            Reason::EmptyPrompt => "empty prompt",
            Reason::EmptyAnswer => "empty answer",
            Reason::NoAnswer => "no answer",
            Reason::RolesDoNotAlternate => "roles do not alternate",
            Reason::ChosenEqualsRejected => "chosen equals rejected",
            Reason::EqualOnceRendered => "chosen equals rejected in the tokens that are trained",
            Reason::EqualOnceCut => "chosen equals rejected once cut to max_length",
            Reason::UndesirableAnswer => "undesirable answer",
            Reason::NoCommonPrompt => "no common prompt",
            Reason::PromptFillsMaxLength => "prompt fills max_length",
            Reason::LongerThanMaxLength => "longer than max_length",
            Reason::PromptNotAPrefix => "prompt is not a prefix of the rendered row",
            Reason::CutToMaxLength => "cut to max_length",
            Reason::CutToMaxPromptLength => "cut to max_prompt_length",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::NotJson(why) | Reason::NotCsv(why) => write!(f, "{}: {why}", self.kind()),
            Reason::NoKnownFormat { keys } => {
                write!(f, "no known format: the row has `{}`", keys.join("`, `"))
            }
            Reason::Missing(pointer) => write!(f, "missing {pointer}"),
            Reason::WrongType(pointer) => write!(f, "wrong type at {pointer}"),
            Reason::UnknownRole { role, pointer } => write!(f, "unknown role `{role}` at {pointer}"),
            plain => f.write_str(plain.kind()),
        }
    }
}
