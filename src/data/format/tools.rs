//! A row's tools, in the form that chat templates read.

use serde_json::{Map, Value, json};

use super::wire;
use crate::data::reason::RowReason;

/// Keys of a tool's function that chat templates are known to read.
pub const FUNCTION_KEYS: [&str; 6] = ["name", "description", "parameters", "strict", "return", "returns"];

const LIST: &str = "a list of tools as JSON, or its text";
const TOOL: &str = r#"a tool's schema, `{"type": "function", "function": {"name": "…", "parameters": {…}}}`"#;

/// A row's tools; `None` if there are none. A function on its own is put into
/// `{"type": "function", "function": …}`.
pub fn tools(tools: Option<wire::Tools>) -> Result<Option<Value>, RowReason> {
    let list = match tools {
        None => return Ok(None),
        Some(wire::Tools::List(list)) => list,
        Some(wire::Tools::Json(text)) if text.trim().is_empty() => return Ok(None),
        Some(wire::Tools::Json(text)) => match serde_json::from_str::<Option<Vec<Value>>>(&text) {
            Ok(list) => list.unwrap_or_default(),
            Err(_) => return Err(RowReason::wrong_type("/tools", &text.into(), LIST)),
        },
    };
    let tool = |(index, tool)| self::tool(tool, &format!("/tools/{index}"));
    let list = list.into_iter().enumerate().map(tool).collect::<Result<Vec<_>, _>>()?;
    Ok((!list.is_empty()).then_some(Value::Array(list)))
}

/// A tool, from an object or its JSON text.
fn tool(tool: Value, at: &str) -> Result<Value, RowReason> {
    let wrong = |at: String, found: &Value| RowReason::wrong_type(at, found, TOOL);
    let tool = match tool {
        Value::Object(tool) => tool,
        Value::String(ref text) => {
            serde_json::from_str::<Map<String, Value>>(text).map_err(|_| wrong(at.to_owned(), &tool))?
        }
        other => return Err(wrong(at.to_owned(), &other)),
    };
    match tool.get("function") {
        None if tool.contains_key("name") && !tool.contains_key("type") => {
            Ok(json!({ "type": "function", "function": tool }))
        }
        None | Some(Value::Object(_)) if !tool.is_empty() => Ok(Value::Object(tool)),
        None | Some(Value::Object(_)) => Err(wrong(at.to_owned(), &Value::Object(tool))),
        Some(other) => Err(wrong(format!("{at}/function"), other)),
    }
}

/// Puts `functions`, OpenAI's older way of writing them, into the row's tools.
pub fn take_older(row: &mut Map<String, Value>) -> Result<(), RowReason> {
    let is_function = |item: &Value| item.get("name").is_some_and(Value::is_string);
    let is_functions =
        |value: &Value| value.as_array().is_some_and(|list| !list.is_empty() && list.iter().all(is_function));
    let parsed = match row.get("functions") {
        Some(Value::String(text)) => serde_json::from_str(text).ok(),
        other => other.cloned(),
    };
    let Some(functions) = parsed.filter(is_functions) else { return Ok(()) };
    let has_tools = row.get("tools").is_some_and(|tools| {
        let none = [json!([]), json!(""), json!("[]"), Value::Null];
        !none.contains(tools)
    });
    if has_tools {
        let why = "both are the row's tools; keep one of them";
        return Err(RowReason::contradiction("/functions", "/tools", why));
    }
    row.shift_remove("functions");
    row.insert("tools".to_owned(), functions);
    Ok(())
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    fn read(list: Value) -> Result<Option<Value>, String> {
        let list = match list {
            Value::Array(list) => wire::Tools::List(list),
            other => wire::Tools::Json(other.as_str().unwrap_or_default().to_owned()),
        };
        tools(Some(list)).map_err(|reason| reason.to_string())
    }

    #[test]
    fn tools_are_objects_or_their_text() {
        let add = json!({"name": "add", "parameters": {}});
        let whole = json!({"type": "function", "function": add});
        let expected = Ok(Some(json!([whole])));
        for tool in [&add, &whole] {
            for list in
                [json!([tool]), json!([tool.to_string()]), json!(json!([tool.to_string()]).to_string())]
            {
                assert_eq!(read(list.clone()), expected, "{list}");
            }
        }
        for (list, part) in [
            (json!(["add"]), "wrong type at /tools/0: \"add\"; accepted: a tool's schema"),
            (json!([whole, 3]), "wrong type at /tools/1: 3"),
            (json!("[\"add\"]"), "wrong type at /tools/0: \"add\""),
            (json!([{}]), "wrong type at /tools/0: {}"),
            (json!([{"type": "function", "function": "add"}]), "wrong type at /tools/0/function: \"add\""),
        ] {
            let said = read(list).unwrap_err();
            assert!(said.contains(part), "{said}");
        }
    }
}
