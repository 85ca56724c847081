//! Keys of a row that its type does not have: they are noted, or refused if a part of the question would be
//! lost with them.

use serde_json::{Map, Value};

use super::RowShape;
use super::notes::FileNotes;
use crate::data::reason::RowReason;
use crate::data::row::{Content, RowTurns};

/// Keys that hold a part of what is asked in some format.
const QUESTIONS: [&str; 6] = ["prompt", "instruction", "query", "input", "history", "system"];

/// Keys that may repeat what other keys say.
const CONVERSATIONS: [&str; 2] = ["messages", "conversations"];

/// Other names that data sets have for the question.
const OTHER_QUESTIONS: [&str; 6] = ["question", "context", "user", "human", "conversation", "dialogue"];

/// Checks the keys that were not read of a row: those in `left`. Errors if one of them holds a part of the
/// question.
pub fn account_for(
    left: &Map<String, Value>,
    contents: &[Result<Content, RowReason>],
    shape: RowShape,
    notes: &mut FileNotes,
) -> Result<(), RowReason> {
    let texts = texts(contents);
    let told = |value: &Value| is_told(value, &texts, shape);
    for (key, value) in left {
        let key = key.as_str();
        let is_question = QUESTIONS.contains(&key);
        if value.is_null() || value == "" || (value == &Value::Array(Vec::new()) && is_question) {
            continue;
        }
        let repeats = (is_question || CONVERSATIONS.contains(&key)) && told(value);
        // Rows of conversations often have the name or the source of their question beside them.
        let is_name = key == "prompt" && matches!(shape, RowShape::Messages | RowShape::Conversations);
        match (repeats, is_question && !is_name) {
            (true, _) => {}
            (false, true) => return Err(RowReason::WouldBeLost { pointer: format!("/{key}") }),
            (false, false) => notes.unread(format!("/{key}")),
        }
    }
    Ok(())
}

/// Errors if a pair has no other question and a conversation beside it says what the pair does not.
pub fn account_for_conversations(
    left: &Map<String, Value>,
    contents: &[Result<Content, RowReason>],
) -> Result<(), RowReason> {
    let texts = texts(contents);
    for key in CONVERSATIONS {
        if left.get(key).is_some_and(|value| !is_told(value, &texts, RowShape::ChosenRejected)) {
            return Err(RowReason::WouldBeLost { pointer: format!("/{key}") });
        }
    }
    Ok(())
}

/// Whether all texts of a value are among those that were read.
fn is_told(value: &Value, texts: &[String], shape: RowShape) -> bool {
    let mut strings = Vec::new();
    said(value, &mut strings);
    strings.into_iter().map(str::trim).all(|string| match shape {
        RowShape::Text => texts.iter().any(|text| text.contains(string)),
        _ => texts.iter().any(|text| text.trim() == string),
    })
}

/// Whether `left` holds something that is a question, judging by its name.
pub fn has_question(left: &Map<String, Value>) -> bool {
    let is_full = |key: &&str| left.get(*key).is_some_and(|value| !value.is_null() && value != "");
    QUESTIONS.iter().chain(&CONVERSATIONS).chain(&OTHER_QUESTIONS).any(is_full)
}

/// All texts that were read.
fn texts(contents: &[Result<Content, RowReason>]) -> Vec<String> {
    let said = |content: &Content| match &content.turns {
        RowTurns::Text(text) => vec![text.clone()],
        RowTurns::Conversation(turns) => turns.iter().map(|turn| turn.text()).collect(),
        RowTurns::Answers { prompt, answers } => {
            prompt.iter().chain(answers.iter().flatten()).map(|turn| turn.text()).collect()
        }
    };
    contents.iter().flatten().flat_map(said).collect()
}

/// The texts of a value that is text, turns or pairs.
fn said<'a>(value: &'a Value, strings: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => strings.push(text),
        Value::Array(items) => items.iter().for_each(|item| said(item, strings)),
        Value::Object(map) => {
            let keys = ["content", "value", "text"];
            keys.iter().filter_map(|key| map.get(*key)).for_each(|item| said(item, strings));
        }
        _ => {}
    }
}
