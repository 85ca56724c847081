//! Turns that call tools (`function_call` of LLaMA-Factory, `tool_call` of ms-swift, `function_call` in
//! OpenAI's older turns), in the form that chat templates read: `{"type": "function", "function": {…}}`.

use serde_json::{Map, Value, json};

use super::wire;
use crate::data::reason::RowReason;

const ACCEPTED: &str = r#"`{"name": "…", "arguments": {…}}` or a list of such, as JSON or as its text"#;
const LIST: &str =
    r#"a list of calls, `[{"type": "function", "function": {"name": "…", "arguments": {…}}}]`"#;

/// Keys of a call, and of the function in it.
pub const CALL_KEYS: [&str; 6] = ["id", "type", "function", "index", "name", "arguments"];
pub const CALLED_KEYS: [&str; 3] = ["name", "arguments", "parameters"];

/// The calls that are a turn's content, as `tool_calls`. `unread` is called with the keys that nothing
/// reads.
pub fn calls(
    content: Option<&wire::TurnContent>,
    pointer: &str,
    mut unread: impl FnMut(&str),
) -> Result<Vec<Value>, RowReason> {
    let found = match content {
        None => Value::Null,
        Some(wire::TurnContent::Text(text)) => {
            let text = text.trim();
            serde_json::from_str(text).map_err(|_| RowReason::wrong_type(pointer, &text.into(), ACCEPTED))?
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
fn call(found: Value, pointer: &str, unread: &mut impl FnMut(&str)) -> Result<Value, RowReason> {
    let wrong = || RowReason::wrong_type(pointer, &found, ACCEPTED);
    let outer = found.as_object().ok_or_else(wrong)?;
    let inner = match outer.get("function") {
        Some(function) => function.as_object().ok_or_else(wrong)?,
        None => outer,
    };
    let name = inner.get("name").and_then(Value::as_str).ok_or_else(wrong)?;
    let keys = outer.keys().chain(outer.get("function").into_iter().flat_map(|_| inner.keys()));
    let mut unknown = keys.filter(|key| is_unknown(key)).peekable();
    let arguments = match inner.get("arguments").or_else(|| inner.get("parameters")) {
        // The arguments may be under another name.
        None if unknown.peek().is_some() => return Err(wrong()),
        None | Some(Value::Null) => json!({}),
        Some(Value::String(text)) if text.trim().is_empty() => json!({}),
        Some(Value::String(text)) => serde_json::from_str(text).map_err(|_| wrong())?,
        Some(arguments) => arguments.clone(),
    };
    unknown.for_each(|key| unread(key));
    let mut call = Map::new();
    if let Some(id) = outer.get("id").filter(|id| !id.is_null()) {
        call.insert("id".to_owned(), id.clone());
    }
    call.insert("type".to_owned(), "function".into());
    call.insert("function".to_owned(), json!({ "name": name, "arguments": arguments }));
    Ok(Value::Object(call))
}

fn is_unknown(key: &str) -> bool {
    !CALL_KEYS.contains(&key) && !CALLED_KEYS.contains(&key)
}

/// Makes `tool_calls` of a turn a list of objects, each with a name; parts of it that are JSON text are
/// parsed. If the list is empty, the key is removed.
pub fn settle(extra: &mut Map<String, Value>, pointer: &str) -> Result<(), RowReason> {
    let Some(found) = extra.get("tool_calls").cloned() else { return Ok(()) };
    let at = format!("{pointer}/tool_calls");
    let wrong = || RowReason::wrong_type(at.as_str(), &found, LIST);
    let list = match &found {
        Value::Null => None,
        Value::String(text) if text.trim().is_empty() => None,
        Value::String(text) => serde_json::from_str::<Option<Vec<Value>>>(text).map_err(|_| wrong())?,
        Value::Array(list) => Some(list.clone()),
        _ => return Err(wrong()),
    };
    let mut list = list.unwrap_or_default();
    for (index, call) in list.iter_mut().enumerate() {
        let at = format!("{at}/{index}");
        if let Value::String(text) = &*call {
            let object = serde_json::from_str::<Map<String, Value>>(text);
            *call = Value::Object(object.map_err(|_| RowReason::wrong_type(at.clone(), call, ACCEPTED))?);
        }
        name_arguments(call, &at)?;
    }
    match list.is_empty() {
        true => _ = extra.shift_remove("tool_calls"),
        false => _ = extra.insert("tool_calls".to_owned(), Value::Array(list)),
    }
    Ok(())
}

/// Gives a call its name, and its arguments under the name that templates read. Errors if it has no
/// arguments but keys that are not known, since these may be the arguments.
fn name_arguments(call: &mut Value, at: &str) -> Result<(), RowReason> {
    let wrong = |at: &str, found: &Value| Err(RowReason::wrong_type(at, found, ACCEPTED));
    let Value::Object(outer) = call else { return wrong(at, call) };
    let (function, at) = match outer.contains_key("function") {
        false => (outer, at.to_owned()),
        true => match &mut outer["function"] {
            Value::Object(function) => (function, format!("{at}/function")),
            other => return wrong(&format!("{at}/function"), other),
        },
    };
    let keys = || function.keys().cloned().collect::<Vec<_>>();
    match function.get("name") {
        Some(Value::String(_)) => {}
        Some(other) => return Err(RowReason::wrong_type(format!("{at}/name"), other, "text")),
        None => return Err(RowReason::Missing { pointer: format!("{at}/name"), keys: keys() }),
    }
    if function.contains_key("arguments") {
        return Ok(());
    }
    if !function.contains_key("parameters")
        && function.iter().any(|(key, value)| is_unknown(key) && !value.is_null())
    {
        return Err(RowReason::Missing { pointer: format!("{at}/arguments"), keys: keys() });
    }
    if let Some(arguments) = function.shift_remove("parameters") {
        function.insert("arguments".to_owned(), arguments);
    }
    Ok(())
}

/// Puts `function_call` of an assistant's turn, OpenAI's older way, into its `tool_calls`.
pub fn take_older(
    extra: &mut Map<String, Value>,
    role: &str,
    pointer: &str,
    unread: impl FnMut(&str),
) -> Result<(), RowReason> {
    let Some(found) = extra.shift_remove("function_call") else { return Ok(()) };
    let at = format!("{pointer}/function_call");
    let content = match &found {
        Value::Null => return Ok(()),
        Value::String(text) if text.trim().is_empty() => return Ok(()),
        Value::Object(call) if call.is_empty() => return Ok(()),
        Value::String(text) => wire::TurnContent::Text(text.clone()),
        Value::Object(call) => wire::TurnContent::Call(call.clone()),
        _ => return Err(RowReason::wrong_type(at, &found, ACCEPTED)),
    };
    if role != "assistant" {
        let accepted = format!("no such key: turns of `{role}` call nothing");
        return Err(RowReason::wrong_type(at, &found, accepted));
    }
    if extra.contains_key("tool_calls") {
        let why = "both say what the turn calls; keep one of them";
        return Err(RowReason::contradiction(&at, &format!("{pointer}/tool_calls"), why));
    }
    extra.insert("tool_calls".to_owned(), calls(Some(&content), &at, unread)?.into());
    Ok(())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    fn called(text: &str) -> Result<Vec<Value>, RowReason> {
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
        for text in [
            "",
            "add(1)",
            "{'name': 'add'}",
            "[]",
            "3",
            r#"{"arguments": {}}"#,
            r#"["add"]"#,
            r#"{"name": "add", "input": {"a": 1}}"#,
        ] {
            assert!(called(text).unwrap_err().to_string().contains("wrong type at /m/1/content"), "{text}");
        }
    }

    fn settled(calls: Value) -> Result<Option<Value>, String> {
        let mut extra = Map::from_iter([("tool_calls".to_owned(), calls)]);
        settle(&mut extra, "/m/1").map_err(|reason| reason.to_string())?;
        Ok(extra.shift_remove("tool_calls"))
    }

    #[test]
    fn tool_calls_are_a_list_of_objects() {
        for none in [json!([]), json!(""), json!("null"), json!(" [ ] "), json!(null)] {
            assert_eq!(settled(none.clone()), Ok(None), "{none}");
        }
        let add = json!({"id": "1", "function": {"name": "add", "arguments": {"a": 1}}});
        for one in [json!([add]), json!(json!([add]).to_string()), json!([add.to_string()])] {
            assert_eq!(settled(one.clone()), Ok(Some(json!([add]))), "{one}");
        }
        let flat = json!([{"name": "add", "parameters": {"a": 1}}]);
        assert_eq!(settled(flat), Ok(Some(json!([{"name": "add", "arguments": {"a": 1}}]))));
        for (wrong, part) in [
            (add.clone(), "wrong type at /m/1/tool_calls: {\"id\":\"1\""),
            (json!("add(1)"), "wrong type at /m/1/tool_calls: \"add(1)\""),
            (json!(add.to_string()), "wrong type at /m/1/tool_calls: \"{"),
            (json!(["add"]), "wrong type at /m/1/tool_calls/0: \"add\""),
            (json!([3]), "wrong type at /m/1/tool_calls/0: 3"),
            (json!([{"function": "add"}]), "wrong type at /m/1/tool_calls/0/function: \"add\""),
            (json!([{"function": {"called": "add"}}]), "missing /m/1/tool_calls/0/function/name"),
            (json!([{"name": "add", "input": {"a": 1}}]), "missing /m/1/tool_calls/0/arguments"),
            (json!([{"name": null}]), "wrong type at /m/1/tool_calls/0/name: null"),
        ] {
            let said = settled(wrong).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
