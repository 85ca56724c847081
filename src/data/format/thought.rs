//! The reasoning of a turn, which has several names, as one text.

use serde_json::{Map, Value};

use super::media;
use crate::data::reason::RowReason;
use crate::template::REASONING;

const ACCEPTED: &str = "text, or a list of parts of text";

/// Makes the reasoning of a turn one text. `part` is the reasoning that parts of its content hold. Blank
/// reasoning is ignored if there is other. Errors if two keys differ.
pub fn settle(extra: &mut Map<String, Value>, part: Option<String>, pointer: &str) -> Result<(), RowReason> {
    let mut found: Option<(&str, String)> = part.map(|thought| ("content", thought));
    for key in REASONING {
        let Some(value) = extra.get_mut(key) else { continue };
        let at = format!("{pointer}/{key}");
        let text = text(value, &at)?;
        media::refuse_tags(&text, &at)?;
        *value = Value::String(text.clone());
        if text.trim().is_empty() {
            continue;
        }
        match &found {
            Some((other, before)) if before.trim() != text.trim() => {
                let why = "both are what the turn's author thinks; keep one of them";
                return Err(RowReason::contradiction(&at, &format!("{pointer}/{other}"), why));
            }
            Some(_) => {}
            None => found = Some((key, text)),
        }
    }
    let Some((key, thought)) = found.filter(|(_, thought)| !thought.trim().is_empty()) else { return Ok(()) };
    let key = if key == "content" { REASONING[0] } else { key };
    REASONING.iter().filter(|other| **other != key).for_each(|other| _ = extra.shift_remove(*other));
    extra.insert(key.to_owned(), thought.into());
    Ok(())
}

/// A text, or the text of a list of parts.
fn text(value: &Value, at: &str) -> Result<String, RowReason> {
    let wrong = || RowReason::wrong_type(at, value, ACCEPTED);
    let part = |part: &Value| {
        let object = part.as_object()?;
        let is_known = |key: &String| ["type", "text"].contains(&key.as_str());
        let text = object.get("text")?.as_str()?;
        object.keys().all(is_known).then(|| text.to_owned())
    };
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Array(parts) => parts.iter().map(part).collect::<Option<_>>().ok_or_else(wrong),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn settled(turn: Value, part: Option<&str>) -> Result<Value, String> {
        let mut extra = turn.as_object().cloned().unwrap_or_default();
        let done = settle(&mut extra, part.map(str::to_owned), "/m/1").map_err(|reason| reason.to_string());
        done.map(|()| Value::Object(extra))
    }

    #[test]
    fn the_first_that_says_something_is_it() {
        for (turn, part, expected) in [
            (json!({"reasoning_content": "", "thinking": "a"}), None, json!({"thinking": "a"})),
            (
                json!({"reasoning_content": " ", "name": "n"}),
                None,
                json!({"reasoning_content": " ", "name": "n"}),
            ),
            (json!({"reasoning": "a", "thinking": "a\n"}), None, json!({"thinking": "a\n"})),
            (
                json!({"thinking": [{"type": "text", "text": "a"}, {"text": "b"}]}),
                None,
                json!({"thinking": "ab"}),
            ),
            (json!({}), Some("a"), json!({"reasoning_content": "a"})),
            (json!({"thinking": "a"}), Some("a"), json!({"reasoning_content": "a"})),
        ] {
            assert_eq!(settled(turn.clone(), part), Ok(expected), "{turn}");
        }
    }

    #[test]
    fn what_is_no_text_or_says_two_things_is_refused() {
        let error = |turn: Value, part| settled(turn, part).unwrap_err();
        assert_eq!(
            error(json!({"reasoning_content": "a", "thinking": "b"}), None),
            "/m/1/thinking contradicts /m/1/reasoning_content: both are what the turn's author thinks; keep one of them"
        );
        assert!(error(json!({"thinking": "b"}), Some("a")).contains("contradicts /m/1/content"));
        for other in [json!({"content": "a"}), json!(true), json!(["a"]), json!([{"text": "a", "b": 1}])] {
            assert!(error(json!({"reasoning": other}), None).starts_with("wrong type at /m/1/reasoning: "));
        }
    }
}
