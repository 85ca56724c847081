//! Whether the numbers and truth values among the arguments of a row's calls reach its text. They may be
//! written in many ways (`true` and `True`, `5` and `5.0`), so they are replaced by others: the other
//! numbers must be found in the text, and the text must change with each truth value.

use serde_json::{Number, Value};

use super::kept::function;
use super::reason::RowReason;
use crate::template::Message;

/// The first of the numbers that replace others.
const FROM: u64 = 718_293;

/// Where a value is.
struct Place {
    turn: usize,
    /// The pointer to it in the turn's `tool_calls`.
    pointer: String,
}

/// Errors if `text`, which a template made of `messages`, lacks a number or truth value of an argument.
/// `render` renders other messages in the same way.
pub fn check(
    messages: &[Message],
    text: &str,
    render: impl Fn(&[Message]) -> Option<String>,
) -> Result<(), RowReason> {
    let (mut numbers, mut truths) = (Vec::new(), Vec::new());
    for (turn, message) in messages.iter().enumerate() {
        for (index, call) in message.calls().iter().enumerate() {
            let (function, at) = function(call, index);
            if let Some(arguments) = function.get("arguments") {
                let mut found = |value: &Value, pointer| match value {
                    Value::Number(_) => numbers.push(Place { turn, pointer }),
                    _ => truths.push(Place { turn, pointer }),
                };
                collect(arguments, format!("{at}/arguments"), &mut found);
            }
        }
    }
    let lost = |place: &Place| {
        let role = &messages[place.turn].role;
        let value = calls(messages, place.turn).and_then(|calls| calls.pointer(&place.pointer));
        let value = value.unwrap_or(&Value::Null);
        RowReason::ContentLost(format!("an argument of a call in turn {} ({role}): {value}", place.turn + 1))
    };
    let digits: Vec<u64> =
        (FROM..).filter(|number| !text.contains(&number.to_string())).take(numbers.len()).collect();
    let mut others = messages.to_vec();
    for (place, digits) in numbers.iter().zip(&digits) {
        put(&mut others, place, |number| match number.is_f64() {
            true => Number::from_f64(*digits as f64 + 0.5).map_or(Value::Null, Value::Number),
            false => Value::from(*digits),
        });
    }
    // If other numbers cannot be rendered, nothing can be said about the row's own.
    if let Some(other) = render(&others).filter(|_| !numbers.is_empty()) {
        let ungrouped: String = other.chars().filter(|c| !matches!(c, ',' | '_' | ' ' | '.')).collect();
        let is_there =
            |digits: &u64| other.contains(&digits.to_string()) || ungrouped.contains(&digits.to_string());
        if let Some((place, _)) = numbers.iter().zip(&digits).find(|(_, digits)| !is_there(digits)) {
            return Err(lost(place));
        }
    }
    for place in &truths {
        let mut others = messages.to_vec();
        put(&mut others, place, |value| Value::Bool(value != &Value::Bool(true)));
        if render(&others).is_some_and(|other| other == text) {
            return Err(lost(place));
        }
    }
    Ok(())
}

/// The numbers and truth values in a value.
fn collect(value: &Value, at: String, found: &mut impl FnMut(&Value, String)) {
    match value {
        Value::Number(_) | Value::Bool(_) => found(value, at),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, item)| collect(item, format!("{at}/{index}"), found));
        }
        Value::Object(map) => {
            for (key, item) in map {
                collect(item, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found);
            }
        }
        _ => {}
    }
}

fn calls(messages: &[Message], turn: usize) -> Option<&Value> {
    messages.get(turn)?.extra.get("tool_calls")
}

/// Replaces the value at a place.
fn put(messages: &mut [Message], place: &Place, other: impl Fn(&Value) -> Value) {
    let calls = messages[place.turn].extra.get_mut("tool_calls");
    if let Some(value) = calls.and_then(|calls| calls.pointer_mut(&place.pointer)) {
        *value = other(value);
    }
}
