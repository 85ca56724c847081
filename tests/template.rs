//! Renderings equal Jinja2's byte for byte. `tests/templates/expected.py` wrote `expected.json` with
//! transformers 5.23.0 and Jinja2 3.1.6; null stands for an error.

use std::fs;
use std::path::{Path, PathBuf};

use runner::template::{ChatTemplate, SpecialTokens, shipped_names};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn json(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("tests/templates").join(path)).unwrap())
        .unwrap()
}

fn rendered(source: &str, context: &Value) -> anyhow::Result<String> {
    ChatTemplate::new(source.to_owned(), SpecialTokens::default())?.render_context(context)
}

/// One line a difference.
fn compare(what: &str, source: &str, context: &Value, expected: &Value, differ: &mut Vec<String>) {
    let ours = rendered(source, context);
    if ours.as_deref().ok() != expected.as_str() {
        differ.push(format!("{what}\n  Jinja2: {expected}\n  ours:   {ours:?}"));
    }
}

#[test]
fn expressions_and_statements_equal_jinja2() {
    let (cases, expected) = (json("cases.json"), json("expected.json"));
    let sources = cases["sources"].as_array().unwrap();
    assert!(sources.len() > 650);
    let mut differ = Vec::new();
    for (source, expected) in sources.iter().zip(expected["cases"].as_array().unwrap()) {
        let source = source.as_str().unwrap();
        compare(source, source, &cases["context"], expected, &mut differ);
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
}

#[test]
fn chat_templates_equal_jinja2() {
    let (contexts, expected) = (json("contexts.json"), json("expected.json"));
    let mut differ = Vec::new();
    let mut compared = 0;
    for (file, expected) in expected["templates"].as_object().unwrap() {
        let path = match root().join("templates").join(file) {
            path if path.is_file() => path,
            _ => root().join("tests/templates").join(file),
        };
        let source = fs::read_to_string(path).unwrap();
        for (name, context) in contexts.as_object().unwrap() {
            compare(&format!("{file} {name}"), &source, context, &expected[name], &mut differ);
            compared += 1;
        }
    }
    assert!(differ.is_empty(), "{} differ:\n{}", differ.len(), differ.join("\n"));
    let shipped = shipped_names().count();
    assert_eq!(compared, (shipped + 6) * contexts.as_object().unwrap().len());
}

#[test]
fn dates_are_those_of_the_run() {
    let source = "{{ strftime_now('%d %b %Y %H:%M:%S|%A %B %j %p %y %-d') }}".to_owned();
    let now = jiff::civil::date(2024, 7, 6).at(9, 5, 3, 0);
    let template = ChatTemplate::at(source, SpecialTokens::default(), now).unwrap();
    // Python: datetime(2024, 7, 6, 9, 5, 3).strftime(...)
    assert_eq!(
        template.render_context(&serde_json::json!({})).unwrap(),
        "06 Jul 2024 09:05:03|Saturday July 188 AM 24 6"
    );
}

#[test]
fn errors_say_what_and_where() {
    let error = |source: &str| rendered(source, &serde_json::json!({})).unwrap_err().to_string();
    assert_eq!(
        error("a\n{{ raise_exception('no `system` turns here') }}"),
        "no `system` turns here (line 2 of the template)"
    );
    assert_eq!(
        error("{% if x %}"),
        "the chat template does not compile: unexpected end of input, expected end of block (line 1 \
         of the template)"
    );
}
