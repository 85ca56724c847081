//! A row's content reaches the text, or the row is dropped.

use std::path::Path;

use proptest::prelude::*;
use runner::data::{Row, RowTurns, Tokenizer};
use runner::template::{ChatTemplate, Message};
use serde_json::{Value, json};

use super::workspace::{Workspace, asked};
use super::{conversation, here, model, pair, row, talk, template, tokens, trained};

fn own(name: &str) -> ChatTemplate {
    ChatTemplate::for_model(None, &model(name), Some(&model(name))).unwrap()
}

/// Why a row is dropped.
fn dropped(row: &Row, template: &ChatTemplate) -> String {
    let tokenizer = Tokenizer::from_folder(&model("qwen2")).unwrap();
    let said = tokens(row, template, &tokenizer).map(|(tokenized, _)| trained(&tokenized, 0, &tokenizer));
    let said = said.unwrap_err();
    let reason = said.strip_prefix("none of 1 rows can be trained on; the first, `rows.jsonl` line 1: ");
    reason.unwrap_or(&said).split(';').next().unwrap().to_owned()
}

fn call(name: &str, arguments: Value) -> Value {
    json!([{"type": "function", "function": {"name": name, "arguments": arguments}}])
}

#[test]
fn what_a_template_leaves_out_is_told() {
    let chatml = own("qwen2");
    let question = json!({"role": "user", "content": "Two plus two?"});
    let answer = json!({"role": "assistant", "content": "Four."});
    let calls = json!({"role": "assistant", "content": "", "tool_calls": call("add", json!({"a": 2}))});
    // Row 4 of a set of pairs: a call under a template without tools.
    let answers = vec![talk(json!([calls])), vec![Message::new("assistant", "Five.")]];
    let tools = json!([{"type": "function", "function": {"name": "add", "parameters": {}}}]);
    let with_call = row(RowTurns::Answers { prompt: talk(json!([question])), answers }, Some(tools.clone()));
    assert_eq!(
        dropped(&with_call, &chatml),
        "the template leaves out the call of `add` in turn 2 (assistant)"
    );
    // Tools alone.
    let with_tools = row(RowTurns::Conversation(talk(json!([question, answer]))), Some(tools));
    assert_eq!(dropped(&with_tools, &chatml), "the template leaves out the tool `add`");
    // A template without system turns, and one that loses them by place.
    let silent = "{% for m in messages if m.role != 'system' %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}";
    let system = json!([{"role": "system", "content": "Be brief."}, question, answer]);
    for source in [silent, &here("nemo.jinja")] {
        assert_eq!(
            dropped(&conversation(system.clone()), &template(source, "qwen2")),
            "the template leaves out the text of turn 1 (system): \"Be brief.\""
        );
    }
    // Parts under a template that reads texts alone; an answer to the question is trained otherwise.
    let parts = json!([question, {"role": "assistant", "content": [{"type": "text", "text": "Four."}]}]);
    assert_eq!(
        dropped(&conversation(parts), &template(&here("qwen3.jinja"), "qwen2")),
        "the template leaves out the text of turn 2 (assistant), which is a list of parts: \"Four.\""
    );
    // Two turns of the same words, of which one is lost; words that stand elsewhere in the text.
    let twice = json!([
        {"role": "user", "content": "yes"}, {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "s"}, {"role": "assistant", "content": "yes"},
    ]);
    let first = "{% for m in messages if m.role != 'user' or loop.first %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}";
    let first = first.replace(" or loop.first", " or m == messages[0]");
    assert_eq!(
        dropped(&conversation(twice), &template(&first, "qwen2")),
        "the template leaves out the text of turn 3 (user): \"s\""
    );
    // A call whose name stands among the tools.
    let lists = "{{ tools | tojson }}{% for m in messages %}{{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}";
    assert_eq!(
        dropped(&with_call, &template(lists, "qwen2")),
        "the template leaves out the call of `add` in turn 2 (assistant)"
    );
    let names =
        lists.replace("m.content +", "m.content + (m.tool_calls[0].function.name if m.tool_calls else '') +");
    let mut row = with_call.clone();
    let RowTurns::Answers { answers, .. } = &mut row.turns else { panic!("no answers") };
    answers[0] = talk(
        json!([{"role": "assistant", "content": "", "tool_calls": call("add", json!({"of": "pears"}))}]),
    );
    assert_eq!(
        dropped(&row, &template(&names, "qwen2")),
        "the template leaves out an argument of a call in turn 2 (assistant): \"pears\""
    );
}

#[test]
fn numbers_and_truth_values_of_calls_are_looked_for() {
    let turn = |arguments: Value| {
        conversation(json!([
            {"role": "user", "content": "Two?"},
            {"role": "assistant", "content": "So:", "tool_calls": call("f", arguments)},
        ]))
    };
    let of = |arguments: &str| {
        template(
            &format!(
                "{{% for m in messages %}}{{{{ m.role + ': ' + m.content }}}}{{% for c in m.tool_calls or [] %}}\
                 {{{{ c.function.name + '(' }}}}{arguments}){{% endfor %}}{{{{ '<|im_end|>' }}}}{{% endfor %}}"
            ),
            "qwen2",
        )
    };
    let each = |item: &str| {
        of(&format!(
            "{{% for key, value in c.function.arguments.items() %}}{{{{ key ~ '=' }}}}{item}{{% endfor %}}"
        ))
    };
    let tokenizer = Tokenizer::from_folder(&model("qwen2")).unwrap();
    for arguments in [json!({"a": 5, "flag": true}), json!({"a": {"b": [5.5, 0]}}), json!({"a": [false, 7]})]
    {
        let row = turn(arguments);
        let told = dropped(&row, &of(""));
        assert!(
            told.starts_with("the template leaves out an argument of a call in turn 2 (assistant): "),
            "{told}"
        );
        let forms = [
            "{{ value }}",
            "{{ value | tojson }}",
            "{{ value | string | upper }}",
            "{{ value | tojson | replace('true', 'yes') }}",
        ];
        for template in forms.map(each).iter().chain([&of("{{ c.function.arguments | tojson }}")]) {
            tokens(&row, template, &tokenizer).unwrap();
        }
    }
    let some = each("{{ value if value is string or value is boolean else '' }}");
    assert!(dropped(&turn(json!({"a": 5, "flag": true})), &some).ends_with(": 5"));
    let numbers = each("{{ '{:,}'.format(value) if value is not boolean else '' }}");
    assert!(dropped(&turn(json!({"a": 5000000, "flag": true})), &numbers).ends_with(": true"));
    tokens(&turn(json!({"a": 5000000})), &numbers, &tokenizer).unwrap();
}

#[test]
fn content_is_found_in_other_clothes() {
    let tokenizer = Tokenizer::from_folder(&model("qwen2")).unwrap();
    let json = "{% for m in messages %}{{ {'role': m.role, 'content': m.content} | tojson }}{{ '<|im_end|>' }}{% endfor %}";
    let escaped = json.replace("tojson", "tojson(ensure_ascii=true)");
    let trimmed = "{% for m in messages %}{{ m.role + ':' + m.content.split() | join(' ') + '<|im_end|>' }}{% endfor %}";
    let talk = conversation(json!([
        {"role": "user", "content": "  He said \"\\frac{1}{2}\",\n\n\tthen \u{1f600} and é; and went home early.\n"},
        {"role": "assistant", "content": "yes\n"},
    ]));
    for source in [json, &escaped, trimmed] {
        tokens(&talk, &template(source, "qwen2"), &tokenizer).unwrap();
    }
}

#[test]
fn a_turn_of_calls_without_content_is_no_word() {
    let rows = |content: Option<Value>| {
        let mut turn =
            json!({"role": "assistant", "tool_calls": call("get_weather", json!({"city": "Oslo"}))});
        if let Some(content) = content {
            turn["content"] = content;
        }
        conversation(json!([
            {"role": "user", "content": "Weather in Oslo?"}, turn,
            {"role": "tool", "content": "3"}, {"role": "assistant", "content": "It is 3."},
        ]))
    };
    let source = "{% for m in messages %}{{ m.role + ':' }}{{ m.content | trim }}\
                  {% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}{{ '<|im_end|>' }}{% endfor %}";
    let (template, tokenizer) = (template(source, "qwen2"), Tokenizer::from_folder(&model("qwen2")).unwrap());
    for content in [None, Some(Value::Null), Some(json!(""))] {
        let row = rows(content);
        // Llama 3's template has no tools: the call would vanish.
        assert_eq!(
            dropped(&row, &own("llama3")),
            "the template leaves out the call of `get_weather` in turn 2 (assistant)"
        );
        let (tokenized, _) = tokens(&row, &template, &tokenizer).unwrap();
        let trained = trained(&tokenized, 0, &tokenizer);
        assert!(trained[0].contains("get_weather") && !trained[0].contains("None"), "{trained:?}");
    }
}

#[test]
fn keys_that_hold_null_are_not_there() {
    let messages = json!([
        {"role": "user", "content": "Weather?", "tool_calls": null, "name": null},
        {"role": "assistant", "content": null, "name": null,
         "tool_calls": [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo", "days": null}}}]},
        {"role": "tool", "content": "3", "tool_calls": null},
        {"role": "assistant", "content": "It is 3.", "tool_calls": null},
    ]);
    let tools = json!([{"type": "function", "function": {
        "name": "get_weather", "strict": null,
        "parameters": {"type": "object", "properties": {"days": {"type": "integer", "enum": null}}}}}]);
    let workspace = Workspace::new("qwen2", "sft", &[json!({"messages": messages, "tools": tools})]);
    workspace.write(
        "t.jinja",
        "{{ tools | tojson }}{% for m in messages %}{{ m | tojson }}{{ '<|im_end|>' }}{% endfor %}",
    );
    let rendered = workspace.rendered(&["model.template=\"t.jinja\""]);
    let ids = |value: &Value| -> Vec<u32> { serde_json::from_value(value.clone()).unwrap() };
    let ids = [ids(&rendered[0]["prompt"]), ids(&rendered[0]["branches"][0]["tokens"])].concat();
    let text = Tokenizer::from_folder(&workspace.path("model")).unwrap().decode(&ids).unwrap();
    assert!(!text.contains("null") && text.contains("\"city\": \"Oslo\"}"), "{text}");
}

/// `nulls/rows.parquet` was written by pyarrow 26.0.1 (zstd) from the objects of `nulls/rows.jsonl`: its columns
/// give every turn every key.
#[test]
fn a_row_of_parquet_is_the_row_of_jsonl() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/rendering/nulls");
    let rendered = |name: &str| {
        let workspace = Workspace::new("qwen2", "sft", &[]);
        workspace.write(
            "t.jinja",
            "{{ tools | tojson if tools else 'no tools' }}{% for m in messages %}{{ m | tojson }}{{ '<|im_end|>' }}\
             {% endfor %}",
        );
        std::fs::copy(folder.join(name), workspace.path(name)).unwrap();
        let source = format!("data.d.source=\"{name}\"");
        let rows = workspace.rendered(&["model.template=\"t.jinja\"", &source]);
        let told = |row: &Value| format!("{} {}", row["prompt"], row["branches"]);
        rows.iter().map(told).collect::<Vec<_>>()
    };
    let lines = rendered("rows.jsonl");
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.contains("tokens")), "{lines:?}");
    assert_eq!(rendered("rows.parquet"), lines);
}

#[test]
fn reasoning_goes_by_the_name_that_the_template_reads() {
    let tokenizer = Tokenizer::from_folder(&model("qwen3")).unwrap();
    let qwen3 = here("qwen3.jinja");
    for key in ["reasoning_content", "thinking", "reasoning"] {
        let talk = conversation(json!([
            {"role": "user", "content": "Two plus two?"}, {"role": "assistant", key: "WHY", "content": "Four."},
        ]));
        for name in ["reasoning_content", "thinking", "reasoning"] {
            let template = template(&qwen3.replace(".reasoning_content", &format!(".{name}")), "qwen3");
            let (tokenized, warnings) = tokens(&talk, &template, &tokenizer).unwrap();
            assert_eq!(
                trained(&tokenized, 0, &tokenizer),
                ["<think>\nWHY\n</think>\n\nFour.<|im_end|>\n"],
                "{key} as {name}"
            );
            assert_eq!(warnings, [] as [&str; 0]);
        }
        assert_eq!(
            dropped(&talk, &own("qwen2")),
            format!("the template reads no reasoning: `{key}` of turn 2")
        );
    }
    // What is trained is whole: the R1-distills' template leaves out the last turn's reasoning too.
    let thinks =
        pair(json!([{"role": "user", "content": "Two?"}]), "<think>\nWHY\n</think>\n\nFour.", "Five.");
    assert_eq!(
        dropped(&thinks, &template(&here("r1.jinja"), "qwen2")),
        "the template leaves out the reasoning of turn 2 (assistant): \"WHY\""
    );
}

#[test]
fn keys_of_turns_that_nothing_reads_are_named() {
    let tokenizer = Tokenizer::from_folder(&model("qwen2")).unwrap();
    let talk = conversation(json!([
        {"role": "user", "content": "Two?", "name": "Ann", "mood": "curious"},
        {"role": "assistant", "content": "Four.", "mood": null},
    ]));
    let (_, warnings) = tokens(&talk, &own("qwen2"), &tokenizer).unwrap();
    assert_eq!(warnings, ["the template does not read these keys of turns: `mood`, `name`"]);
}

proptest! {
    #[test]
    fn any_key_of_a_turn_that_nothing_reads_is_named(turn in 0..2_usize, key in "[a-z]{3,9}_?[a-z0-9]{3,9}x") {
        let mut messages = json!([
            {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Four."},
        ]);
        messages[turn][&key] = json!("something");
        let tokenizer = Tokenizer::from_folder(&model("qwen2")).unwrap();
        let (_, warnings) = tokens(&conversation(messages), &own("qwen2"), &tokenizer).unwrap();
        prop_assert_eq!(warnings, [format!("the template does not read these keys of turns: `{key}`")]);
    }
}

#[test]
fn an_end_token_that_the_tokenizer_has_not_is_refused() {
    let workspace = Workspace::new("llama3", "sft", &[asked("Two plus two?", "Four.")]);
    let turn = "{% for m in messages %}{{ '<|turn|>' + m['role'] + '\n' + m['content'] + '<|stop|>\n' }}{% endfor %}\
                {% if add_generation_prompt %}{{ '<|turn|>assistant\n' }}{% endif %}";
    workspace.write("model/chat_template.jinja", turn);
    workspace.set_config(json!({"eos_token": "<|stop|>"}));
    let said = workspace.run("check", &[]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("has no token `<|stop|>`") && said.err.contains("`eos_token`"), "{}", said.err);
    // Without an end token the one that the template writes is looked for all the same.
    workspace.set_config(json!({"eos_token": null}));
    let said = workspace.run("check", &[]);
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("no end-of-turn token is trained after an answer"), "{}", said.err);
}

#[test]
fn rows_that_a_template_refuses_are_dropped_with_its_words() {
    let refuses = "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system') }}{% endif %}\
                   {{ m.role + ': ' + m.content + '<|im_end|>' }}{% endfor %}";
    let system = json!({"messages": [
        {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two?"},
        {"role": "assistant", "content": "Four."}]});
    let workspace = Workspace::new("qwen2", "sft", &[system, asked("Two?", "Four.")]);
    workspace.write("t.jinja", refuses);
    let rendered = workspace.rendered(&["model.template=\"t.jinja\""]);
    assert_eq!(rendered[0]["dropped"], "the template fails: no system (line 1 of the template)");
    assert!(rendered[1]["branches"].is_array());
}
