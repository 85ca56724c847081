//! Values that tables and some JSON files have as text: lists of turns as JSON, numbers in digits.

use serde_json::{Map, Value};

use crate::data::reason::Reason;

/// Keys that hold lists and nothing else.
const LISTS: [&str; 7] = [
    "messages",
    "conversations",
    "rejected_messages",
    "conversation_a",
    "conversation_b",
    "history",
    "responses",
];

/// Keys that hold text, or turns.
const TURNS: [&str; 11] = [
    "prompt",
    "completion",
    "response",
    "chosen",
    "rejected",
    "rejected_response",
    "response_0",
    "response_1",
    "response_2",
    "response_a",
    "response_b",
];

/// Keys of which an empty text is none.
const OPTIONAL: [&str; 9] = [
    "history",
    "tools",
    "chat_template_kwargs",
    "margin",
    "label",
    "kto_tag",
    "chosen_index",
    "rejected_index",
    "better_response_id",
];

const NUMBERS: [&str; 2] = ["margin", "preference_strength"];

/// Reads what is written as text.
pub fn parse(row: &mut Map<String, Value>) -> Result<(), Reason> {
    row.retain(|key, value| !(OPTIONAL.contains(&key.as_str()) && value == ""));
    for (key, value) in row.iter_mut() {
        let key = key.as_str();
        let Value::String(text) = &*value else { continue };
        let pointer = || format!("/{key}");
        if NUMBERS.contains(&key) {
            if let Ok(number) = text.trim().parse::<f64>() {
                *value = number.into();
            }
        } else if LISTS.contains(&key) {
            let wrong = || Reason::wrong_type(pointer(), value, "a list, or its text as JSON");
            *value = serde_json::from_str(text).map_err(|_| wrong())?;
        } else if TURNS.contains(&key) {
            if is_python(text) {
                let accepted =
                    "text, turns, or turns as JSON (this is Python's form; write it with `json.dumps`)";
                return Err(Reason::wrong_type(pointer(), value, accepted));
            }
            if let Some(turns) = turns(text) {
                *value = turns;
            }
        }
    }
    Ok(())
}

/// The turns that a text holds as JSON.
fn turns(text: &str) -> Option<Value> {
    let parsed = text.trim_start().starts_with(['[', '{']).then(|| serde_json::from_str::<Value>(text).ok());
    parsed.flatten().filter(|value| match value {
        Value::Array(turns) => !turns.is_empty() && turns.iter().all(is_turn),
        other => is_turn(other),
    })
}

fn is_turn(value: &Value) -> bool {
    let has = |key: &str| value.get(key).is_some();
    let text = |key: &str| value.get(key).is_some_and(Value::is_string);
    (text("role") && (has("content") || has("text") || has("tool_calls"))) || (text("from") && has("value"))
}

/// Whether a text is a list of turns as Python prints it.
fn is_python(text: &str) -> bool {
    text.trim_start().starts_with("[{'")
        && [("'role':", "'content':"), ("'from':", "'value':")]
            .iter()
            .any(|(role, content)| text.contains(role) && text.contains(content))
}
