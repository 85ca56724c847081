//! `chat_template_kwargs` of recipes and rows.

use runner::data::Tokenizer;
use runner::template::ChatTemplate;
use serde_json::{Value, json};

use super::workspace::{Workspace, asked};
use super::{here, model, pair, template, tokens, trained};

fn kwargs(json: Value) -> serde_json::Map<String, Value> {
    json.as_object().unwrap().clone()
}

#[test]
fn a_row_s_variables_win_over_the_recipe_s() {
    let tokenizer = Tokenizer::from_folder(&model("qwen3")).unwrap();
    let template = template(&here("qwen3.jinja"), "qwen3");
    let mut row = pair(json!([{"role": "user", "content": "Two plus two?"}]), "Four.", "Five.");
    let whole = |row: &_, template: &ChatTemplate| {
        let (tokenized, _) = tokens(row, template, &tokenizer).unwrap();
        (tokenizer.decode(&tokenized.example.prompt).unwrap(), trained(&tokenized, 0, &tokenizer).concat())
    };
    let opened = "<|im_start|>user\nTwo plus two?<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(
        whole(&row, &template),
        (opened.to_owned(), "<think>\n\n</think>\n\nFour.<|im_end|>\n".to_owned())
    );
    let silent = template.clone().with_kwargs(kwargs(json!({"enable_thinking": false}))).unwrap();
    let without = (format!("{opened}<think>\n\n</think>\n\n"), "Four.<|im_end|>\n".to_owned());
    assert_eq!(whole(&row, &silent), without);
    row.chat_template_kwargs = Some(kwargs(json!({"enable_thinking": true})));
    assert_eq!(whole(&row, &silent), whole(&row, &template));
    row.chat_template_kwargs = Some(kwargs(json!({"enable_thinking": false})));
    assert_eq!(whole(&row, &template), without);
}

#[test]
fn variables_that_are_not_to_be_set_or_not_read_are_told() {
    let tokenizer = Tokenizer::from_folder(&model("qwen3")).unwrap();
    let template = template(&here("qwen3.jinja"), "qwen3");
    let mut row = pair(json!([{"role": "user", "content": "Two plus two?"}]), "Four.", "Five.");
    row.chat_template_kwargs = Some(kwargs(json!({"enable_thinking": true, "mood": "gay"})));
    let (_, warnings) = tokens(&row, &template, &tokenizer).unwrap();
    assert_eq!(warnings, ["the template does not read these `chat_template_kwargs` of rows: `mood`"]);
    row.chat_template_kwargs = Some(kwargs(json!({"tools": []})));
    let refused = tokens(&row, &template, &tokenizer).unwrap_err();
    assert!(refused.contains("reserved template variable: /chat_template_kwargs/tools"), "{refused}");
    assert!(template.with_kwargs(kwargs(json!({"messages": []}))).is_err());
}

#[test]
fn a_recipe_sets_variables() {
    let workspace = Workspace::new("llama3", "sft", &[asked("Two plus two?", "Four.")]);
    workspace.write("t.jinja", &here("llama3_1.jinja"));
    let template = "model.template=\"t.jinja\"";
    let text = |sets: &[&str]| {
        let row = &workspace.rendered(&[&[template], sets].concat())[0];
        let ids: Vec<u32> = serde_json::from_value(row["prompt"].clone()).unwrap();
        Tokenizer::from_folder(&workspace.path("model")).unwrap().decode(&ids).unwrap()
    };
    assert!(text(&[]).contains("Today Date: 26 Jul 2024"));
    let set = "model.chat_template_kwargs.date_string=\"1 May 2025\"";
    assert!(text(&[set]).contains("Today Date: 1 May 2025"));
    let fingerprint = |sets: &[&str]| {
        let mut arguments = vec!["--json", "--set", template];
        sets.iter().for_each(|set| arguments.extend(["--set", *set]));
        let said = workspace.run("plan", &arguments);
        assert_eq!(said.code, Some(0), "{}", said.err);
        let plan: Value = serde_json::from_str(&said.out).unwrap();
        plan["stages"][0]["fingerprint"].clone()
    };
    assert!(fingerprint(&[]).is_string());
    assert_ne!(fingerprint(&[]), fingerprint(&[set]));
    let unread = "model.chat_template_kwargs.mood=\"gay\"";
    let said = workspace.run("check", &["--set", template, "--set", unread]);
    assert_eq!(said.code, Some(0), "{}", said.err);
    let warning = "the template does not read `chat_template_kwargs` of `[model]`: `mood`";
    assert!(said.out.contains(warning), "{}", said.out);
    let said = workspace.run("check", &["--set", "model.chat_template_kwargs.tools=1"]);
    assert_eq!(said.code, Some(2));
    assert!(said.err.contains("`tools` follows from the row"), "{}", said.err);
}
