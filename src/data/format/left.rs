//! Keys of a row that its type does not have: noted, or refused where a part of the question would go
//! missing with them.

use serde_json::{Map, Value};

use super::Shape;
use super::notes::Notes;
use crate::data::reason::Reason;
use crate::data::row::{Content, Turns};

/// Keys that hold what is asked in some format.
const QUESTIONS: [&str; 6] = ["prompt", "instruction", "query", "input", "history", "system"];

/// Keys that may repeat what other keys say.
const CONVERSATIONS: [&str; 2] = ["messages", "conversations"];

/// Names that data sets have for the question, besides ours.
const OTHER_QUESTIONS: [&str; 6] = ["question", "context", "user", "human", "conversation", "dialogue"];

/// Accounts for what `left` holds beside what was read of a row.
pub fn account_for(
    left: &Map<String, Value>,
    contents: &[Result<Content, Reason>],
    shape: Shape,
    notes: &mut Notes,
) -> Result<(), Reason> {
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
        let is_name = key == "prompt" && matches!(shape, Shape::Messages | Shape::Conversations);
        match (repeats, is_question && !is_name) {
            (true, _) => {}
            (false, true) => return Err(Reason::WouldBeLost { pointer: format!("/{key}") }),
            (false, false) => notes.unread(format!("/{key}")),
        }
    }
    Ok(())
}

/// Errors if conversations beside a pair that has no other question say what the pair does not.
pub fn account_for_conversations(
    left: &Map<String, Value>,
    contents: &[Result<Content, Reason>],
) -> Result<(), Reason> {
    let texts = texts(contents);
    for key in CONVERSATIONS {
        if left.get(key).is_some_and(|value| !is_told(value, &texts, Shape::ChosenRejected)) {
            return Err(Reason::WouldBeLost { pointer: format!("/{key}") });
        }
    }
    Ok(())
}

/// Whether all texts of a value are among those that were read.
fn is_told(value: &Value, texts: &[String], shape: Shape) -> bool {
    let mut strings = Vec::new();
    said(value, &mut strings);
    strings.into_iter().map(str::trim).all(|string| match shape {
        Shape::Text => texts.iter().any(|text| text.contains(string)),
        _ => texts.iter().any(|text| text.trim() == string),
    })
}

/// Whether `left` holds something that is a question by its name.
pub fn has_question(left: &Map<String, Value>) -> bool {
    let is_full = |key: &&str| left.get(*key).is_some_and(|value| !value.is_null() && value != "");
    QUESTIONS.iter().chain(&CONVERSATIONS).chain(&OTHER_QUESTIONS).any(is_full)
}

/// Everything that was read.
fn texts(contents: &[Result<Content, Reason>]) -> Vec<String> {
    let said = |content: &Content| match &content.turns {
        Turns::Text(text) => vec![text.clone()],
        Turns::Conversation(turns) => turns.iter().map(|turn| turn.text()).collect(),
        Turns::Answers { prompt, answers } => {
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
