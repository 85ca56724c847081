//! Named templates of a tokenizer.

use std::path::Path;

use runner::data::RowTurns;
use runner::template::{ChatTemplate, Rendering};
use serde_json::{Value, json};

use super::workspace::Workspace;

const DEFAULT: &str = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or '') + \
    '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";
const TOOL_USE: &str = "{{ '<|im_start|>system\nTools: ' + (tools | tojson) + '<|im_end|>\n' }}\
    {% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + (m['content'] or '') }}\
    {% for c in m.tool_calls or [] %}{{ '<tool_call>' + (c.function | tojson) + '</tool_call>' }}{% endfor %}\
    {{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

fn with_tools() -> Value {
    json!({"messages": [
        {"role": "user", "content": "Weather in Oslo?"},
        {"role": "assistant", "content": null, "tool_calls": [
            {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]},
        {"role": "tool", "content": "3", "name": "get_weather"},
        {"role": "assistant", "content": "It is 3."}],
     "tools": [{"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}]})
}

fn without_tools(tools: Value) -> Value {
    json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "tools": tools})
}

fn workspace(config: &[(&str, &str)], rows: &[Value]) -> Workspace {
    let workspace = Workspace::new("qwen2", "sft", rows);
    workspace.remove("model/chat_template.jinja");
    let list: Vec<Value> =
        config.iter().map(|(name, source)| json!({"name": name, "template": source})).collect();
    if !list.is_empty() {
        workspace.set_config(json!({"chat_template": list}));
    }
    workspace
}

/// What a row's tokens say, of the first completion.
fn text(workspace: &Workspace, row: &Value) -> String {
    let ids = |value: &Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
    let ids = [ids(&row["prompt"]), ids(&row["branches"][0]["tokens"])].concat();
    runner::data::Tokenizer::from_folder(&workspace.path("model")).unwrap().decode(&ids).unwrap()
}

#[test]
fn rows_with_tools_take_the_template_for_tools() {
    let rows = [with_tools(), without_tools(json!([])), without_tools(Value::Null)];
    let list = workspace(&[("default", DEFAULT), ("tool_use", TOOL_USE)], &rows);
    let files = workspace(&[], &rows);
    files.write("model/chat_template.jinja", DEFAULT);
    files.write("model/additional_chat_templates/tool_use.jinja", TOOL_USE);
    for workspace in [list, files] {
        let rendered = workspace.rendered(&[]);
        let first = text(&workspace, &rendered[0]);
        assert!(
            first.starts_with("<|im_start|>system\nTools: [{") && first.contains("<tool_call>{"),
            "{first}"
        );
        for row in &rendered[1..] {
            assert_eq!(
                text(&workspace, row),
                "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\nb<|im_end|>\n"
            );
        }
        // One for all rows: the calls would be lost, so the row is.
        let rendered = workspace.rendered(&["model.template=\"model:default\""]);
        let dropped = rendered[0]["dropped"].as_str().unwrap();
        assert!(dropped.starts_with("the template leaves out the call of `get_weather`"), "{dropped}");
    }
}

#[test]
fn a_list_without_default_serves_rows_with_tools() {
    let named = workspace(&[("rag", DEFAULT), ("tool_use", TOOL_USE)], &[with_tools()]);
    assert!(text(&named, &named.rendered(&[])[0]).contains("<tool_call>"));
    let said = named.run("check", &["--set", "model.template=\"model:tools\""]);
    assert_eq!(said.code, Some(2));
    assert!(
        said.err.contains("no chat template `tools`") && said.err.contains("`model:rag`"),
        "{}",
        said.err
    );
    let other = workspace(&[("rag", DEFAULT), ("chat", DEFAULT)], &[without_tools(Value::Null)]);
    let said = other.run("check", &[]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("several chat templates") && said.err.contains("`model:chat`"), "{}", said.err);
    let rendered = other.rendered(&["model.template=\"model:rag\""]);
    assert!(text(&other, &rendered[0]).ends_with("b<|im_end|>\n"));
}

#[test]
fn what_another_template_alone_reads_is_named() {
    let reads = format!("{{{{ documents[0] if documents else '' }}}}{{{{ mood }}}}{}", TOOL_USE);
    let reads = reads.replace("m['role']", "(m.name or m['role'])");
    let kwargs = json!({"documents": ["A long text."]});
    let mut without = without_tools(Value::Null);
    without["chat_template_kwargs"] = kwargs.clone();
    without["messages"][0]["name"] = json!("Ann");
    let mut with = with_tools();
    with["chat_template_kwargs"] = kwargs;
    let warned = |rows: &[Value], sets: &[&str]| {
        let workspace = workspace(&[("default", DEFAULT), ("tool_use", &reads)], rows);
        let mut arguments = Vec::new();
        sets.iter().for_each(|set| arguments.extend(["--set", *set]));
        let said = workspace.run("check", &arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        said.out
    };
    let said = warned(&[without.clone()], &[]);
    assert!(
        said.contains("`default` does not read these `chat_template_kwargs` of rows: `documents`"),
        "{said}"
    );
    assert!(said.contains("`default` does not read these keys of turns: `name`"), "{said}");
    let said = warned(&[with.clone()], &[]);
    assert!(!said.contains("does not read"), "{said}");
    // Of the recipe: told where no row's template reads it.
    let mood = &["model.chat_template_kwargs.mood=\"gay\""][..];
    let told = "that no template of these rows reads, but another of the model's: `mood`";
    let plain = without_tools(Value::Null);
    assert!(warned(std::slice::from_ref(&plain), mood).contains(told));
    assert!(!warned(&[plain, with_tools()], mood).contains(told));
}

#[test]
fn named_templates_are_written_as_they_are_read() {
    let workspace = workspace(&[("default", DEFAULT), ("tool_use", TOOL_USE)], &[with_tools()]);
    let read = |folder: &Path| ChatTemplate::for_model(None, folder, Some(folder)).unwrap();
    let named = read(&workspace.path("model"));
    let to = tempfile::tempdir().unwrap();
    named.write(to.path()).unwrap();
    let again = read(to.path());
    assert_eq!(named.identity(), again.identity());
    assert_eq!(again.sources().collect::<Vec<_>>(), [("default", DEFAULT), ("tool_use", TOOL_USE)]);
    // One template is known by its text alone, as before there were several.
    let one = ChatTemplate::for_model(Some("model:default"), to.path(), Some(to.path())).unwrap();
    assert_eq!(one.identity(), DEFAULT);
    let RowTurns::Conversation(turns) = super::conversation(json!([{"role": "user", "content": "a"}])).turns
    else {
        panic!("no conversation")
    };
    let tools = json!([]);
    let none = Rendering { tools: Some(&tools), ..Rendering::default() };
    assert_eq!(again.render(&turns, none).unwrap(), "<|im_start|>user\na<|im_end|>\n");
}
