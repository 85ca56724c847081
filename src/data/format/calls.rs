//! Turns that call tools (`function_call` of LLaMA-Factory, `tool_call` of ms-swift), and tools, in the
//! form that chat templates read: `{"type": "function", "function": {…}}`.

use serde_json::{Map, Value, json};

use super::wire;
use crate::data::reason::Reason;

const ACCEPTED: &str = r#"`{"name": "…", "arguments": {…}}` or a list of such, as JSON or as its text"#;

/// Keys of a tool's function that chat templates are known to read.
pub const FUNCTION_KEYS: [&str; 6] = ["name", "description", "parameters", "strict", "return", "returns"];

/// Keys of a call, and of the function in it.
pub const CALL_KEYS: [&str; 6] = ["id", "type", "function", "index", "name", "arguments"];
pub const CALLED_KEYS: [&str; 3] = ["name", "arguments", "parameters"];

/// The calls that a turn's content is, as `tool_calls`; `unread` is told the keys that are not read.
pub fn calls(
    content: Option<&wire::TurnContent>,
    pointer: &str,
    mut unread: impl FnMut(&str),
) -> Result<Vec<Value>, Reason> {
    let found = match content {
        None => Value::Null,
        Some(wire::TurnContent::Text(text)) => {
            let text = text.trim();
            serde_json::from_str(text).map_err(|_| Reason::wrong_type(pointer, &text.into(), ACCEPTED))?
        }
        Some(wire::TurnContent::Parts(calls)) => calls.iter().cloned().map(Value::Object).collect(),
        Some(wire::TurnContent::Call(call)) => Value::Object(call.clone()),
    };
    let calls = match found {
        Value::Array(calls) if !calls.is_empty() => calls,
        one => vec![one],
    };
    calls.into_iter().map(|found| call(found, pointer, &mut unread)).collect()
}

/// One call, its arguments as an object.
fn call(found: Value, pointer: &str, unread: &mut impl FnMut(&str)) -> Result<Value, Reason> {
    let wrong = || Reason::wrong_type(pointer, &found, ACCEPTED);
    let outer = found.as_object().ok_or_else(wrong)?;
    let inner = match outer.get("function") {
        Some(function) => function.as_object().ok_or_else(wrong)?,
        None => outer,
    };
    let name = inner.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
    let arguments = match inner.get("arguments").or_else(|| inner.get("parameters")) {
        None | Some(Value::Null) => json!({}),
        Some(Value::String(text)) if text.trim().is_empty() => json!({}),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| wrong())?,
        Some(arguments) => arguments.clone(),
    };
    let is_unread = |key: &&String| ![&CALL_KEYS[..], &CALLED_KEYS].concat().contains(&key.as_str());
    let keys = outer.keys().chain(outer.get("function").into_iter().flat_map(|_| inner.keys()));
    keys.filter(is_unread).for_each(|key| unread(key));
    let mut call = Map::new();
    if let Some(id) = outer.get("id").filter(|id| !id.is_null()) {
        call.insert("id".to_owned(), id.clone());
    }
    call.insert("type".to_owned(), "function".into());
    call.insert("function".to_owned(), json!({ "name": name, "arguments": arguments }));
    Ok(Value::Object(call))
}

/// `tool_calls` that a turn has as JSON text, as a list.
pub fn parse_text(extra: &mut Map<String, Value>, pointer: &str) -> Result<(), Reason> {
    let Some(Value::String(text)) = extra.get("tool_calls") else { return Ok(()) };
    let list = match text.trim() {
        "" => Some(Value::Array(Vec::new())),
        text => serde_json::from_str::<Value>(text).ok().filter(|calls| calls.is_array() || calls.is_null()),
    };
    let at = format!("{pointer}/tool_calls");
    let list = list.ok_or_else(|| Reason::wrong_type(at, &text.as_str().into(), "a list of calls"))?;
    match list.as_array().is_none_or(Vec::is_empty) {
        true => extra.shift_remove("tool_calls"),
        false => extra.insert("tool_calls".to_owned(), list),
    };
    Ok(())
}

/// A row's tools; none if there are none. A bare function is put into its envelope.
pub fn tools(tools: Option<wire::Tools>) -> Result<Option<Value>, Reason> {
    let list = match tools {
        None => return Ok(None),
        Some(wire::Tools::List(list)) => list,
        Some(wire::Tools::Json(text)) if text.trim().is_empty() => return Ok(None),
        Some(wire::Tools::Json(text)) => match serde_json::from_str::<Option<Vec<Value>>>(&text) {
            Ok(list) => list.unwrap_or_default(),
            Err(_) => {
                let accepted = "a list of tools as JSON, or its text";
                return Err(Reason::wrong_type("/tools", &text.into(), accepted));
            }
        },
    };
    let enveloped = |tool: Value| match tool.get("name").is_some() && tool.get("function").is_none() {
        true if tool.get("type").is_none() => json!({ "type": "function", "function": tool }),
        _ => tool,
    };
    let list: Vec<Value> = list.into_iter().map(enveloped).collect();
    Ok((!list.is_empty()).then_some(Value::Array(list)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn called(text: &str) -> Result<Vec<Value>, Reason> {
        calls(Some(&wire::TurnContent::Text(text.to_owned())), "/m/1/content", |_| {})
    }

    #[test]
    fn calls_are_read_in_every_form() {
        let add = json!({"type": "function", "function": {"name": "add", "arguments": {"a": 1}}});
        for text in [
            r#"{"name": "add", "arguments": {"a": 1}}"#,
            r#"[{"name": "add", "arguments": "{\"a\": 1}"}]"#,
            r#"{"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}"#,
            r#" {"name": "add", "parameters": {"a": 1}} "#,
        ] {
            assert_eq!(called(text), Ok(vec![add.clone()]), "{text}");
        }
        let now = json!({"type": "function", "function": {"name": "now", "arguments": {}}});
        assert_eq!(
            called(r#"[{"name": "add", "arguments": {"a": 1}}, {"name": "now"}]"#),
            Ok(vec![add, now])
        );
    }

    #[test]
    fn what_is_no_call_is_refused() {
        for text in ["", "add(1)", "{'name': 'add'}", "[]", "3", r#"{"arguments": {}}"#, r#"["add"]"#] {
            assert!(called(text).unwrap_err().to_string().contains("wrong type at /m/1/content"), "{text}");
        }
    }
}
