//! What a turn says, thinks and calls reaches the row, or the row is refused with its place, what was
//! found, what is accepted and what to do.

use runner::data::{Need, RowTurns};
use runner::template::Message;
use serde_json::{Value, json};

use super::helper::plain;

const SFT: Need = Need::Sft;

fn asked(content: Value) -> Value {
    json!({"messages": [{"role": "user", "content": content}, {"role": "assistant", "content": "y"}]})
}

fn answered(answer: Value) -> Value {
    json!({"messages": [{"role": "user", "content": "q"}, answer]})
}

fn turns(row: &Value) -> Vec<Message> {
    let mut read = plain().row(row.clone(), SFT);
    assert_eq!(read.error, None, "{row}");
    match read.rows.remove(0).turns {
        RowTurns::Conversation(turns) => turns,
        other => panic!("{other:?}"),
    }
}

/// Each row is refused, saying so.
fn refused<const N: usize>(rows: [(Value, &str); N]) {
    for (row, part) in rows {
        let error = plain().row(row.clone(), SFT).error;
        let error = error.unwrap_or_else(|| panic!("{row} is read"));
        assert!(error.contains(part), "{row}: {error}");
    }
}

#[test]
fn parts_are_text_or_are_refused() {
    let at = "/messages/0/content/0";
    let with = |part: Value| asked(json!([part, {"type": "text", "text": "q"}]));
    refused([
        (
            with(json!({"type": "foo", "bar": "baz"})),
            &format!("wrong type at {at}/type: \"foo\"; accepted: `text`"),
        ),
        (with(json!({"type": "tool_result", "content": "x"})), &format!("{at}/type: \"tool_result\"")),
        (with(json!({"type": "thinking", "thinking": "x"})), &format!("{at}/type: \"thinking\"")),
        (with(json!({"type": 3, "text": "x"})), &format!("{at}/type: 3")),
        (
            with(json!({"type": "text", "content": "x"})),
            &format!("missing {at}/text: {at} has `type`, `content`; a part is `{{\"type\": \"text\""),
        ),
        (with(json!({"type": "text", "text": null})), &format!("missing {at}/text: {at} has `type`")),
        (
            with(json!({"type": "text", "text": ["x"]})),
            &format!("wrong type at {at}/text: [\"x\"]; accepted: text"),
        ),
        (with(json!({"markdown": "x"})), &format!("missing {at}/text: {at} has `markdown`")),
    ]);
    let call = json!({"role": "assistant", "content": [
        {"type": "text", "text": "Let me see."}, {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}]});
    refused([(answered(call), "/messages/1/content/1/type: \"tool_use\"; accepted: `text`: a part is")]);
    // The kind may be missing.
    assert_eq!(
        plain().row(asked(json!([{"text": "a"}, {"type": "text", "text": "b"}])), SFT).told(),
        ["u:ab a:y"]
    );
}

#[test]
fn a_tool_s_result_is_text() {
    let row = |result: Value| {
        json!({"conversations": [
            {"from": "human", "value": "q"}, {"from": "function_call", "value": {"name": "f", "arguments": {}}},
            {"from": "observation", "value": result}, {"from": "gpt", "value": "y"}]})
    };
    for result in [
        json!([{"temperature": 25}]),
        json!({"temperature": 25}),
        json!([{"type": "text", "text": "a"}, {"b": 1}]),
    ] {
        refused([(row(result), "wrong type at /conversations/2/value")]);
    }
    refused([(row(json!([{"temperature": 25}])), "as its JSON text (`json.dumps`)")]);
    assert_eq!(plain().row(row(json!("[{\"a\": 1}]")), SFT).told(), ["u:q a!f({}): t:[{\"a\": 1}] a:y"]);
    assert_eq!(
        plain().row(row(json!([{"type": "text", "text": "1"}])), SFT).told(),
        ["u:q a!f({}): t:1 a:y"]
    );
}

#[test]
fn an_answer_of_empty_parts_is_empty() {
    for answer in
        [json!([{"type": "text", "text": ""}]), json!([{"text": " "}, {"text": "\n"}]), json!([]), json!("")]
    {
        refused([(answered(json!({"role": "assistant", "content": answer})), "(empty answer: 1)")]);
    }
}

#[test]
fn a_turn_says_something_or_calls_something() {
    let first = |turn: Value| json!({"messages": [turn, {"role": "assistant", "content": "y"}]});
    let call = json!([{"type": "function", "function": {"name": "f", "arguments": {}}}]);
    refused([
        (
            first(json!({"role": "user", "value": "q"})),
            "missing /messages/0/content: /messages/0 has `role`, `value`; a turn is `{role, content}` or `{from, value}`",
        ),
        (
            first(json!({"role": "user", "contents": "q"})),
            "missing /messages/0/content: /messages/0 has `role`, `contents`",
        ),
        (first(json!({"role": "user"})), "missing /messages/0/content: /messages/0 has `role`"),
        (first(json!({"role": "user", "content": null, "tool_calls": call})), "missing /messages/0/content"),
        (answered(json!({"role": "assistant", "content": null})), "missing /messages/1/content"),
        (
            answered(json!({"role": "assistant", "content": null, "tool_calls": []})),
            "missing /messages/1/content",
        ),
        (answered(json!({"role": "assistant", "reasoning_content": "r"})), "missing /messages/1/content"),
        (
            first(json!({"role": "user", "content": "q", "text": "r"})),
            "/messages/0/text contradicts /messages/0/content: both are what the turn says",
        ),
        (
            first(json!({"from": "human", "value": "", "content": "q"})),
            "/messages/0/content contradicts /messages/0/value",
        ),
    ]);
    let calling = json!({"role": "assistant", "content": null, "tool_calls": call});
    assert_eq!(plain().row(answered(calling), SFT).told(), ["u:q a!f({}):"]);
    for turn in [
        json!({"role": "user", "content": "q", "text": "q"}),
        json!({"role": "user", "content": "", "text": "q"}),
        json!({"role": "user", "text": "q"}),
    ] {
        assert_eq!(plain().row(first(turn), SFT).told(), ["u:q a:y"]);
    }
}

#[test]
fn reasoning_is_one_text() {
    let thinks = |keys: Value| {
        let mut answer = json!({"role": "assistant", "content": "y"});
        answer.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        answered(answer)
    };
    for keys in [
        json!({"reasoning_content": "", "thinking": "r"}),
        json!({"thinking": "r", "reasoning": "r"}),
        json!({"reasoning_content": [{"type": "text", "text": "r"}]}),
        json!({"content": [{"type": "thinking", "thinking": "r", "signature": "s"}, {"type": "text", "text": "y"}]}),
        json!({"content": [{"type": "reasoning", "text": "r"}, {"text": "y"}], "thinking": "r"}),
    ] {
        let read = turns(&thinks(keys.clone()));
        assert_eq!(read[1].text(), "y", "{keys}");
        assert_eq!(read[1].reasoning().map(|(_, text)| text), Some(&json!("r")), "{keys}");
    }
    assert_eq!(turns(&thinks(json!({"reasoning_content": " "})))[1].reasoning(), None);
    let signed = json!({"content": [{"type": "thinking", "thinking": "r", "signature": "s"}, {"text": "y"}]});
    assert_eq!(
        plain().row(thinks(signed), SFT).warnings,
        ["`rows.jsonl`: nothing reads `/messages/*/content/*/signature`"]
    );
    refused([
        (
            thinks(json!({"reasoning_content": "r", "thinking": "s"})),
            "/messages/1/thinking contradicts /messages/1/reasoning_content: both are what the turn's author thinks",
        ),
        (
            thinks(json!({"reasoning": {"content": "r"}})),
            "wrong type at /messages/1/reasoning: {\"content\":\"r\"}; accepted: text",
        ),
        (thinks(json!({"thinking": ["r"]})), "wrong type at /messages/1/thinking: [\"r\"]"),
        (
            thinks(json!({"content": [{"text": "y"}, {"type": "thinking", "thinking": "r"}]})),
            "wrong type at /messages/1/content/1/type: \"thinking\"",
        ),
        (
            thinks(json!({"content": [{"type": "thinking", "thought": "r"}, {"text": "y"}]})),
            "missing /messages/1/content/0/text: /messages/1/content/0 has `type`, `thought`",
        ),
    ]);
}

#[test]
fn turns_that_are_merged_keep_what_they_hold() {
    let row = |before: Value, keys: Value| {
        let mut call = json!({"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {}}"});
        call.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        json!({"conversations": [{"from": "human", "value": "q"}, before, call,
                                 {"from": "observation", "value": "1"}, {"from": "gpt", "value": "y"}]})
    };
    let said = json!({"from": "gpt", "value": "Wait."});
    let thought = json!({"from": "gpt", "value": "Wait.", "thinking": "r"});
    let one = "u:q a!f({}):Wait. t:1 a:y";
    for (before, keys, told, reasons) in [
        (&said, json!({"reasoning_content": "r"}), one, vec![Some("r")]),
        (&thought, json!({}), one, vec![Some("r")]),
        (&thought, json!({"reasoning_content": "r"}), one, vec![Some("r")]),
        (
            &thought,
            json!({"reasoning_content": "s"}),
            "u:q a:Wait. a!f({}): t:1 a:y",
            vec![Some("r"), Some("s")],
        ),
    ] {
        let row = row(before.clone(), keys);
        assert_eq!(plain().row(row.clone(), SFT).told(), [told]);
        let turns = turns(&row);
        let thoughts: Vec<Option<&str>> = turns[1..=reasons.len()]
            .iter()
            .map(|turn| turn.reasoning().and_then(|(_, text)| text.as_str()))
            .collect();
        assert_eq!(thoughts, reasons);
    }
}

#[test]
fn calls_in_openai_s_older_form_are_calls() {
    let row = |call: Value| {
        json!({"messages": [
            {"role": "user", "content": "q"}, {"role": "assistant", "content": "Wait.", "function_call": call},
            {"role": "function", "name": "f", "content": "1"}, {"role": "assistant", "content": "y"}]})
    };
    let call = json!({"name": "f", "arguments": "{\"a\": 1}"});
    let mut with_functions = row(call.clone());
    with_functions["functions"] = json!([{"name": "f", "parameters": {}}]);
    for row in [row(call.clone()), row(json!(call.to_string())), with_functions.clone()] {
        let read = plain().row(row, SFT);
        assert_eq!(read.told(), ["u:q a!f({\"a\":1}):Wait. t:1 a:y"]);
        assert_eq!(read.warnings, [] as [&str; 0]);
    }
    let read = plain().row(with_functions.clone(), SFT);
    assert_eq!(
        read.rows[0].tools,
        Some(json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]))
    );
    with_functions["tools"] = json!([{"name": "g"}]);
    let both = json!({"role": "assistant", "content": "", "function_call": call,
                      "tool_calls": [{"name": "g", "arguments": {}}]});
    refused([
        (with_functions, "/functions contradicts /tools"),
        (answered(both), "/messages/1/function_call contradicts /messages/1/tool_calls"),
        (row(json!({"called": "f"})), "wrong type at /messages/1/function_call: {\"called\":\"f\"}"),
        (row(json!("auto")), "wrong type at /messages/1/function_call: \"auto\""),
        (
            json!({"messages": [{"role": "user", "content": "q", "function_call": call}, {"role": "assistant", "content": "y"}]}),
            "wrong type at /messages/0/function_call",
        ),
    ]);
}

#[test]
fn calls_and_tools_are_objects() {
    let call = json!({"type": "function", "function": {"name": "f", "arguments": {"a": 1}}});
    let calling = |calls: Value| answered(json!({"role": "assistant", "content": "", "tool_calls": calls}));
    for calls in [json!([call]), json!([call.to_string()]), json!(json!([call]).to_string())] {
        assert_eq!(plain().row(calling(calls), SFT).told(), ["u:q a!f({\"a\":1}):"]);
    }
    let tooled = |tools: Value| {
        let mut row = asked(json!("q"));
        row["tools"] = tools;
        row
    };
    let tool = json!({"type": "function", "function": {"name": "f", "parameters": {}}});
    for tools in [json!([tool]), json!([tool.to_string()]), json!(json!([tool]).to_string())] {
        assert_eq!(plain().row(tooled(tools), SFT).rows[0].tools, Some(json!([tool])));
    }
    refused([
        (calling(call.clone()), "wrong type at /messages/1/tool_calls: {\"type\":\"function\""),
        (calling(json!(["f(1)"])), "wrong type at /messages/1/tool_calls/0: \"f(1)\""),
        (
            calling(json!([{"called": "f"}])),
            "missing /messages/1/tool_calls/0/name: /messages/1/tool_calls/0 has `called`",
        ),
        (
            calling(json!([{"function": {"name": "f", "input": {"a": 1}}}])),
            "missing /messages/1/tool_calls/0/function/arguments",
        ),
        (
            tooled(json!(["f"])),
            "wrong type at /tools/0: \"f\"; accepted: a tool's schema, `{\"type\": \"function\"",
        ),
        (tooled(json!([tool, ["f"]])), "wrong type at /tools/1: [\"f\"]"),
    ]);
}

#[test]
fn places_of_pictures_are_refused_in_every_text() {
    let beside = |keys: Value| {
        let mut row = json!({"prompt": "q", "completion": "y"});
        row.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        row
    };
    refused([
        (beside(json!({"system": "See <image>"})), "`<image>` at /system"),
        (beside(json!({"history": [["a", "b"], ["c", "<video>"]]})), "`<video>` at /history/1/1"),
        (beside(json!({"input": "<audio>"})), "`<audio>` at /prompt"),
        (json!({"text": "<image> a cat"}), "`<image>` at /text"),
        (
            answered(json!({"role": "assistant", "content": "y", "thinking": "In <image> I see"})),
            "`<image>` at /messages/1/thinking",
        ),
        (asked(json!([{"type": "text", "text": "<video>"}])), "`<video>` at /messages/0/content/0/text"),
    ]);
    let page = json!({"prompt": "q", "completion": "<video><source src=\"a.mp4\"></video>"});
    assert_eq!(plain().row(page, SFT).told().len(), 1);
}
