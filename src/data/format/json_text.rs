//! Values that tables and some JSON files have as text: lists of turns as JSON, numbers in digits.

use serde_json::{Map, Number, Value};

use super::notes::FileNotes;
use super::roles::{RoleMap, role};
use crate::data::reason::RowReason;

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

/// Keys for which an empty text counts as absent.
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

/// Keys that hold one or more rejected answers, and the key of the better answer.
const SEVERAL: [(&str, &str); 2] = [("rejected", "chosen"), ("rejected_response", "response")];

/// Keys of answers, in which a list that is written as text is one answer.
const ANSWERS: [&str; 11] = [
    "completion",
    "response",
    "output",
    "chosen",
    "rejected",
    "rejected_response",
    "response_0",
    "response_1",
    "response_2",
    "response_a",
    "response_b",
];

const PYTHON: &str = "(this is Python's form; write it with `json.dumps`)";

/// Parses the values of a row that are written as text.
pub fn parse(row: &mut Map<String, Value>, roles: &RoleMap, notes: &mut FileNotes) -> Result<(), RowReason> {
    row.retain(|key, value| !(OPTIONAL.contains(&key.as_str()) && value == ""));
    several(row)?;
    for (key, value) in row.iter_mut() {
        let key = key.as_str();
        let Value::String(text) = &*value else { continue };
        let pointer = || format!("/{key}");
        if NUMBERS.contains(&key) {
            // What is no number, or none that JSON has (`nan`, `inf`), stays text, and is refused as such.
            if let Some(number) = text.trim().parse().ok().and_then(Number::from_f64) {
                *value = number.into();
            }
        } else if LISTS.contains(&key) {
            *value = match serde_json::from_str(text) {
                Ok(list) => list,
                Err(_) => {
                    let is_python = is_python(text) || python_list(text);
                    let accepted = "a list, or its text as JSON";
                    let accepted =
                        if is_python { format!("{accepted} {PYTHON}") } else { accepted.to_owned() };
                    return Err(RowReason::wrong_type(pointer(), value, accepted));
                }
            };
        } else if TURNS.contains(&key) {
            if is_python(text) {
                let accepted = format!("text, turns, or turns as JSON {PYTHON}");
                return Err(RowReason::wrong_type(pointer(), value, accepted));
            }
            if is_broken(text) {
                let accepted =
                    "text, turns, or turns as JSON (this begins as turns in JSON do, and is no JSON)";
                return Err(RowReason::wrong_type(pointer(), value, accepted));
            }
            if let Some(turns) = turns(text, roles) {
                *value = turns;
            }
        }
    }
    if ANSWERS.iter().any(|key| row.get(*key).and_then(Value::as_str).is_some_and(is_list)) {
        notes.answer_is_list();
    }
    Ok(())
}

/// Reads several rejected answers. If the chosen answer is such a list too, the lists are what the answers
/// say.
fn several(row: &mut Map<String, Value>) -> Result<(), RowReason> {
    for (key, better) in SEVERAL {
        let Some(Value::String(text)) = row.get(key) else { continue };
        let (list, is_python) = (list(text), python_list(text));
        if list.is_none() && !is_python {
            continue;
        }
        let last =
            row.get("messages").and_then(Value::as_array).and_then(|turns| turns.last()?.get("content"));
        let better = row.get(better).or(last).and_then(Value::as_str);
        if better.is_some_and(is_list) {
            continue;
        }
        if is_python {
            let accepted = format!("text, turns, or a list of answers as JSON {PYTHON}");
            return Err(RowReason::wrong_type(format!("/{key}"), &text.as_str().into(), accepted));
        }
        if let Some(list) = list {
            row.insert(key.to_owned(), list);
        }
    }
    Ok(())
}

/// The list of answers that a text holds as JSON: an empty list, or one with a text or a list of turns in
/// it.
fn list(text: &str) -> Option<Value> {
    let list = serde_json::from_str::<Vec<Value>>(text.trim()).ok()?;
    let holds_turns = |item: &Value| item.as_array().is_some_and(|turns| turns.iter().any(is_turn));
    let is_texts = list.iter().any(Value::is_string) && !list.iter().any(is_turn);
    (list.is_empty() || is_texts || list.iter().any(holds_turns)).then_some(Value::Array(list))
}

/// The items of a JSON list that is written as text and contains texts.
pub fn texts(text: &str) -> Option<Vec<Value>> {
    let text = text.trim();
    let list = text.starts_with('[').then(|| serde_json::from_str::<Vec<Value>>(text).ok()).flatten()?;
    list.iter().any(Value::is_string).then_some(list)
}

/// Whether a text is a list of texts, as JSON or as Python prints it.
fn is_list(text: &str) -> bool {
    texts(text).is_some() || python_list(text)
}

/// The turns that a text holds as JSON: one, or a list with any in it. Other mistakes in them are reported
/// where they are read.
fn turns(text: &str, roles: &RoleMap) -> Option<Value> {
    let parsed = text.trim_start().starts_with(['[', '{']).then(|| serde_json::from_str::<Value>(text).ok());
    let is_speaker = |item: &Value| {
        let name = item.get("role").or_else(|| item.get("from")).and_then(Value::as_str);
        name.is_some_and(|name| role(name, roles).is_some())
    };
    parsed.flatten().filter(|value| match value {
        Value::Array(items) => {
            let within = |item: &Value| item.as_array().is_some_and(|items| items.iter().any(is_turn));
            let is_list = items.iter().any(|item| is_turn(item) || within(item));
            is_list || (!items.is_empty() && items.iter().all(is_speaker))
        }
        other => is_turn(other),
    })
}

fn is_turn(value: &Value) -> bool {
    let has = |key: &str| value.get(key).is_some();
    let text = |key: &str| value.get(key).is_some_and(Value::is_string);
    (text("role") && (has("content") || has("text") || has("tool_calls"))) || (text("from") && has("value"))
}

/// The pairs of keys that turns have.
const TOGETHER: [[&str; 2]; 4] =
    [["role", "content"], ["role", "tool_calls"], ["role", "text"], ["from", "value"]];

/// Whether a text is a turn, or a list of turns, as Python or NumPy prints it.
fn is_python(text: &str) -> bool {
    // `[{'role'`, `[array([{'role'`.
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || "[(array".contains(c));
    start.starts_with("{'") && holds_keys(text, '\'')
}

/// Whether a text begins as turns do in JSON but is not valid JSON.
fn is_broken(text: &str) -> bool {
    let start = text.trim_start_matches(|c: char| c.is_whitespace() || c == '[');
    let first = start.strip_prefix('{').map(str::trim_start).unwrap_or_default();
    let is_first =
        |key: &&str| first.strip_prefix('"').is_some_and(|first| first.starts_with(&format!("{key}\"")));
    TOGETHER.iter().flatten().any(is_first)
        && holds_keys(text, '"')
        && serde_json::from_str::<Value>(text).is_err()
}

fn holds_keys(text: &str, quote: char) -> bool {
    TOGETHER.iter().any(|keys| keys.iter().all(|key| text.contains(&format!("{quote}{key}{quote}:"))))
}

/// Whether a text is a list of texts as Python or NumPy prints it, and is not JSON.
pub fn python_list(text: &str) -> bool {
    let inner = text.trim().strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let Some(mut rest) = inner.map(str::trim_start).filter(|inner| inner.starts_with(['\'', '"'])) else {
        return false;
    };
    while let Some(quote) = rest.chars().next() {
        let Some(length) = quoted(rest, quote) else { return false };
        rest = rest[length..].trim_start();
        rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
    }
    serde_json::from_str::<Value>(text).is_err()
}

/// The length of the text in quotation marks that `text` begins with.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return ['\'', '"'].contains(&quote).then_some(at + 1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod unit_tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn lists_as_python_prints_them_are_told_from_others() {
        for text in ["['a', 'b']", "[\"it's\", 'b']", "['a' 'b']", "['a'\n 'b, \\'c']", " ['a',] "] {
            assert!(python_list(text), "{text}");
        }
        for text in ["[\"a\", \"b\"]", "[]", "[1, 'a']", "['a', 1]", "['a'", "'a', 'b'", "[a]", "['a'] x"] {
            assert!(!python_list(text), "{text}");
        }
    }

    #[test]
    fn turns_are_told_from_answers_in_json() {
        let is_turns = |value: Value| turns(&value.to_string(), &RoleMap::new()).is_some();
        let turn = json!({"role": "assistant", "content": "y"});
        for value in [
            turn.clone(),
            json!([turn]),
            json!([turn, "x"]),
            json!([[turn], [turn]]),
            json!([{"role": "user"}]),
        ] {
            assert!(is_turns(value.clone()), "{value}");
        }
        for value in
            [json!({"role": "user", "id": 3}), json!([{"role": "admin"}]), json!([1, 2]), json!(["a"])]
        {
            assert!(!is_turns(value.clone()), "{value}");
        }
    }
}
