//! Rows in other forms than templates read, through the program: their content is in the text, or the
//! program says why not.

use runner::data::Tokenizer;
use serde_json::{Value, json};

use super::workspace::Workspace;

const TEMPLATE: &str = "{% for t in tools or [] %}{{ t | tojson }}{{ '\n' }}{% endfor %}{% for m in messages %}\
    {{ m.role + ': ' }}{% if m.reasoning_content %}{{ '<think>' + m.reasoning_content + '</think>' }}{% endif %}\
    {% if m.content is string %}{{ m.content }}{% else %}{% for p in m.content or [] %}{{ p.text }}{% endfor %}{% endif %}\
    {% for c in m.tool_calls or [] %}{{ '!' + c.function.name }}{{ c.function.arguments | tojson }}{% endfor %}\
    {{ '<|im_end|>' }}{% endfor %}";

/// The text of the row, or why it is dropped.
fn told(template: Option<&str>, rows: &[Value]) -> Vec<String> {
    let workspace = Workspace::new("qwen2", "sft", rows);
    let mut sets = vec!["data.d.max_bad_rows=100"];
    if let Some(template) = template {
        workspace.write("t.jinja", template);
        sets.push("model.template=\"t.jinja\"");
    }
    let tokenizer = Tokenizer::from_folder(&workspace.path("model")).unwrap();
    let ids = |value: &Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
    let text = |row: &Value| match row["dropped"].as_str() {
        Some(reason) => reason.to_owned(),
        None => {
            let ids = [ids(&row["prompt"]), ids(&row["branches"][0]["tokens"])].concat();
            tokenizer.decode(&ids).unwrap()
        }
    };
    workspace.rendered(&sets).iter().map(text).collect()
}

fn answered(answer: Value) -> Value {
    json!({"messages": [{"role": "user", "content": "Two plus two?"}, answer]})
}

#[test]
fn thoughts_and_calls_reach_the_text_from_every_form() {
    let rows = [
        answered(json!({"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Plainly."}, {"type": "text", "text": "Four."}]})),
        answered(
            json!({"role": "assistant", "content": "Four.", "reasoning_content": "", "thinking": "Plainly."}),
        ),
        answered(
            json!({"role": "assistant", "content": "Four.", "reasoning": [{"type": "text", "text": "Plainly."}]}),
        ),
        answered(
            json!({"role": "assistant", "content": "Four.", "function_call": {"name": "add", "arguments": "{\"a\": 2}"}}),
        ),
        answered(json!({"role": "assistant", "content": "Four.", "tool_calls": [
            "{\"function\": {\"name\": \"add\", \"parameters\": {\"a\": 2}}}"]})),
    ];
    let thought = "user: Two plus two?<|im_end|>assistant: <think>Plainly.</think>Four.<|im_end|>";
    let called = "user: Two plus two?<|im_end|>assistant: Four.!add{\"a\": 2}<|im_end|>";
    assert_eq!(told(Some(TEMPLATE), &rows), [thought, thought, thought, called, called]);
}

#[test]
fn blank_reasoning_needs_no_template_that_reads_it() {
    let rows = [
        answered(json!({"role": "assistant", "content": "Four.", "reasoning_content": ""})),
        answered(json!({"role": "assistant", "content": "Four.", "thinking": "Plainly."})),
    ];
    let told = told(None, &rows);
    assert!(told[0].contains("Two plus two?") && told[0].contains("Four."), "{told:?}");
    assert_eq!(told[1], "the template reads no reasoning: `thinking` of turn 2");
}

#[test]
fn the_program_says_what_would_vanish() {
    let row = answered(json!({"role": "assistant", "content": [
        {"type": "text", "text": "Let me see."}, {"type": "tool_use", "name": "add", "input": {"a": 2}}]}));
    let workspace = Workspace::new("qwen2", "sft", &[row]);
    let said = workspace.run("check", &[]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    let reason = "wrong type at /messages/1/content/1/type: \"tool_use\"; accepted: `text`";
    assert!(said.err.contains(reason), "{}", said.err);
}
