//! Assistant's turns that templates open, close or write in unusual places.

use runner::data::{Row, RowTurns, Tokenizer};
use runner::template::{ChatTemplate, Message};
use serde_json::{Value, json};

use super::{conversation, here, model, pair, row, talk, template, tokens, trained};

fn qwen2() -> Tokenizer {
    Tokenizer::from_folder(&model("qwen2")).unwrap()
}

/// The texts that are trained of a row, or why it is dropped.
fn found(row: &Row, template: &ChatTemplate) -> Result<Vec<String>, String> {
    let tokenizer = qwen2();
    tokens(row, template, &tokenizer).map(|(tokenized, _)| trained(&tokenized, 0, &tokenizer))
}

/// Templates of qwen2's tokenizer, in which only `<|im_start|>`, `<|im_end|>` and `<|endoftext|>` are
/// special.
fn of(source: &str) -> ChatTemplate {
    template(source, "qwen2")
}

fn weather(results: &[&str], last: Value) -> Row {
    let calls =
        json!([{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Oslo"}}}]);
    let mut turns = vec![
        json!({"role": "user", "content": "Cold?"}),
        json!({"role": "assistant", "content": "", "tool_calls": calls}),
    ];
    turns.extend(
        results.iter().map(|result| json!({"role": "tool", "name": "get_weather", "content": result})),
    );
    turns.push(json!({"role": "assistant", "content": last}));
    conversation(Value::Array(turns))
}

/// Results within the turn, the calls closed by a special token.
fn results_inside() -> String {
    here("results_inside.jinja").replace("</tool_call>", "</tool_call><|endoftext|>")
}

#[test]
fn the_generation_prompt_may_be_in_the_loop() {
    let talk = conversation(json!([
        {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Four."},
        {"role": "user", "content": "Three?"}, {"role": "assistant", "content": "Six."},
    ]));
    let source = here("in_loop.jinja");
    assert_eq!(found(&talk, &of(&source)).unwrap(), ["Four.<|im_end|>\n", "Six.<|im_end|>\n"]);
    // One that does not open a turn after the assistant's own, and one that opens its reasoning.
    let others =
        source.replace("and add_generation_prompt", "and add_generation_prompt and m['role'] != 'assistant'");
    let thinks = source.replace(
        "{{ '<|assistant|>\\n' }}{% endif %}{% endfor",
        "{{ '<|assistant|>\\n<think>\\n' }}{% endif %}{% endfor",
    );
    assert_ne!(thinks, source);
    for source in [others, thinks.clone()] {
        assert_eq!(found(&talk, &of(&source)).unwrap(), ["Four.<|im_end|>\n", "Six.<|im_end|>\n"]);
    }
    let tokenizer = qwen2();
    let pair = pair(json!([{"role": "user", "content": "Two?"}]), "Four.", "Five.");
    let (tokenized, warnings) = tokens(&pair, &of(&thinks), &tokenizer).unwrap();
    assert_eq!(
        tokenizer.decode(&tokenized.example.prompt).unwrap(),
        "<|user|>\nTwo?<|im_end|>\n<|assistant|>\n"
    );
    assert_eq!(trained(&tokenized, 1, &tokenizer), ["Five.<|im_end|>\n"]);
    assert!(warnings[0].contains("a prompt alone ends with \"<think>\\n\""), "{warnings:?}");
}

#[test]
fn a_turn_is_opened_without_a_generation_prompt() {
    let source = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}";
    let talk = conversation(json!([
        {"role": "user", "content": "Zq?"}, {"role": "assistant", "content": "Zebra."},
        {"role": "user", "content": "5?"}, {"role": "assistant", "content": "5 of them."},
    ]));
    assert_eq!(found(&talk, &of(source)).unwrap(), ["Zebra.<|im_end|>\n", "5 of them.<|im_end|>\n"]);
}

#[test]
fn results_within_an_assistant_s_turn_are_not_trained() {
    let template = of(&results_inside());
    let call = "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Oslo\"}}</tool_call><|endoftext|>";
    for results in [&["3 degrees"][..], &["3", "4 degrees"], &["5", "Zq", "5"], &["</tool_response>", "\"\""]]
    {
        let row = weather(results, json!("Take a coat."));
        assert_eq!(found(&row, &template).unwrap(), [call, "Take a coat.<|im_end|>\n"], "{results:?}");
    }
    // Brackets around all of them, and commas between.
    let list = results_inside()
        .replace("{{- '<tool_response>' + (messages[k].name or 'tool') + ': \"' + messages[k].content + '\"</tool_response>' -}}",
            "{{- (', ' if scan.any else '<results>[') + messages[k].content + (']</results>' if loop.last or messages[k + 1].role != 'tool' else '') -}}");
    for results in [&["3 degrees"][..], &["3", "4 degrees"]] {
        let row = weather(results, json!("Take a coat."));
        assert_eq!(found(&row, &of(&list)).unwrap(), [call, "Take a coat.<|im_end|>\n"], "{results:?}");
    }
    // Where a second result cannot be written, the first is not told from what is around it.
    let single = results_inside().replace(
        "{%- set scan.any = true -%}",
        "{%- if scan.any -%}{{ raise_exception('one at a time') }}{%- endif -%}{%- set scan.any = true -%}",
    );
    let reason = found(&weather(&["3 degrees"], json!("Take a coat.")), &of(&single)).unwrap_err();
    assert!(
        reason.contains("a tool's result stands in the assistant's turn and cannot be told from it"),
        "{reason}"
    );
    // Results under a key of the turn that called.
    let mut within = weather(&[], json!("Take a coat."));
    let RowTurns::Conversation(turns) = &mut within.turns else { panic!("no conversation") };
    turns[1].extra.insert("tool_responses".into(), json!([{"name": "get_weather", "response": "3 degrees"}]));
    let reads = results_inside()
        .replace("{%- set scan =", "{{ m.tool_responses[0].response if m.tool_responses }}{%- set scan =");
    let reason = found(&within, &of(&reads)).unwrap_err();
    assert!(reason.contains("`tool_responses` of turn 2"), "{reason}");
}

#[test]
fn a_last_turn_after_the_loop_is_found() {
    let talk = conversation(json!([
        {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "<think>\na\n</think>\n\nFour."},
        {"role": "user", "content": "Three?"}, {"role": "assistant", "content": "<think>\nb\n</think>\n\nSix."},
    ]));
    for name in ["last_apart", "by_index"] {
        assert_eq!(
            found(&talk, &of(&here(&format!("{name}.jinja")))).unwrap(),
            ["Four.<|im_end|>\n", "<think>\nb\n</think>\n\nSix.<|im_end|>\n"],
            "{name}"
        );
    }
}

#[test]
fn the_end_of_a_turn_may_come_with_the_next() {
    let template = of(&here("late_end.jinja"));
    let turns = json!([
        {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Four."},
        {"role": "user", "content": "Three?"}, {"role": "assistant", "content": "Six."},
    ]);
    assert_eq!(found(&conversation(turns.clone()), &template).unwrap(), ["Four.<|im_end|>", "Six."]);
    // Another special token in the answer is no end.
    let special = json!([
        {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "<|endoftext|>Four."},
        {"role": "user", "content": "Three?"}, {"role": "assistant", "content": "Six."},
    ]);
    assert_eq!(found(&conversation(special), &template).unwrap(), ["<|endoftext|>Four.<|im_end|>", "Six."]);
    let goes_on = json!([
        {"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Four."},
        {"role": "assistant", "content": "Surely."}, {"role": "user", "content": "Three?"},
        {"role": "assistant", "content": "Six."},
    ]);
    assert_eq!(found(&conversation(goes_on), &template).unwrap(), ["Four.Surely.<|im_end|>", "Six."]);
    // Rows that never train an end are dropped, each for itself.
    let mut unmarked = talk(turns.clone());
    unmarked[1].trained = false;
    let alone = talk(json!([{"role": "user", "content": "Two?"}, {"role": "assistant", "content": "Four."}]));
    for messages in [unmarked, alone] {
        let reason = found(&row(RowTurns::Conversation(messages), None), &template).unwrap_err();
        assert!(reason.contains("no end-of-turn token is trained after an answer"), "{reason}");
    }
    // What begins a question is no end.
    let no_end = here("late_end.jinja")
        .replace("{{- '<|im_end|>' -}}", "")
        .replace("'<|' + m.role + '|>'", "'<|im_start|>'");
    assert!(found(&conversation(turns), &of(&no_end)).is_err());
}

#[test]
fn one_row_without_an_end_stops_nothing() {
    let tokenizer = qwen2();
    let template = of(
        "{% for m in messages %}{{ m.role + ': ' + m.content + ('<|im_end|>\\n' if m.content != 'Four.' else '\\n') }}{% endfor %}\
                       {% if add_generation_prompt %}assistant: {% endif %}",
    );
    let rows: Vec<Row> = ["Four.", "Five."]
        .map(|answer| {
            conversation(
                json!([{"role": "user", "content": "Two?"}, {"role": "assistant", "content": answer}]),
            )
        })
        .to_vec();
    let mut ledger = runner::data::Ledger::new();
    let kept = runner::data::tokenize(&rows, &template, &tokenizer, super::LONG, &mut ledger).unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        ledger.by_reason()[0].kind,
        "no end-of-turn token is trained after an answer, so the model would not learn to stop"
    );
}

#[test]
fn an_untrained_last_turn_goes_to_the_text_s_end() {
    let tail = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}\
                {% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% else %}\
                {{ eos_token }}{% endif %}";
    for source in [tail, &here("last_apart.jinja")] {
        let mut answer = talk(json!([
            {"role": "assistant", "content": "Four."}, {"role": "user", "content": "Three?"},
            {"role": "assistant", "content": "Nine."},
        ]));
        answer[2].trained = false;
        let answers = vec![answer, vec![Message::new("assistant", "No.")]];
        let pair = row(
            RowTurns::Answers { prompt: talk(json!([{"role": "user", "content": "Two?"}])), answers },
            None,
        );
        assert_eq!(
            found(&pair, &of(source)).unwrap(),
            ["Four.<|im_end|>\n<|im_start|>user\nThree?<|im_end|>\n"]
        );
    }
}
