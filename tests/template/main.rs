//! Renderings equal Jinja2's byte for byte. `tests/templates/expected.py` wrote `expected.json` with
//! transformers 5.24.0 and Jinja2 3.1.6; null stands for an error. `tests/interop/template_sweep.py`
//! compares whole folders of templates.

mod hostile;

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use runner::template::{ChatTemplate, Context, SpecialTokens, shipped_names};
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn json(path: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(root().join("tests/templates").join(path)).unwrap()).unwrap()
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
    assert!(sources.len() > 1100);
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

/// Kinds of templates that were reported to differ: `NAME.jinja` for the context `NAME.json` gives
/// `NAME.expected`, which Jinja2 rendered.
#[test]
fn reported_classes_equal_jinja2() {
    let folder = root().join("tests/templates/classes");
    let mut compared = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "expected") {
            continue;
        }
        let read = |extension: &str| fs::read_to_string(path.with_extension(extension)).unwrap();
        let template = ChatTemplate::new(read("jinja"), SpecialTokens::default()).unwrap();
        let text = template.render_with(&Context::from_json(&read("json")).unwrap()).unwrap();
        assert_eq!(text, read("expected"), "{}", path.display());
        compared += 1;
    }
    assert_eq!(compared, 10);
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
        "the chat template does not compile: unexpected end of the template, expected `elif` or `else` \
         or `endif` for the tag of line 1 (line 1 of the template)"
    );
    for (source, expected) in [
        ("\n\n{% if (x\n%}", "unexpected `}`, expected `)` (line 4"),
        ("{{ 'a' }}\n{{ 'b }}", "a string is not closed (line 2"),
        ("\n{% call f %}", "a call block needs a call (line 2"),
        ("\n{% frob %}", "unknown tag `frob` (line 2"),
        ("\n{%- if x -%}\n\n{{ y|nope }}{% endif %}{{\n  y|nope }}", "filter nope is unknown (line 5"),
        ("a\n\n{%- set x = [1,\n  2 + 'a'] %}", "`+` is not defined for `int` and `str` (line 4"),
        ("\n{{ messages[0]['content'] }}", "`messages` is not defined (line 2"),
        ("{{ a.b }}", "`a` is undefined (line 1"),
        ("{% include 'x' %}", "needs other templates"),
        ("{% for x in [1] %}{% with %}{% break %}{% endwith %}{% endfor %}", "within `with`"),
        ("{% break %}", "outside of a loop"),
        ("{{ [1]|join(',', sep=1) }}", "join() has no argument `sep`"),
    ] {
        assert!(error(source).contains(expected), "{source:?}: {}", error(source));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Templates made of pieces of templates render or fail; nothing panics, and nothing hangs.
    #[test]
    fn any_template_is_answered_for(
        pieces in prop::collection::vec(
            prop_oneof![
                "\\PC{0,4}",
                prop::sample::select(vec![
                    "{{ ", " }}", "{% ", " %}", "{%- ", " -%}", "{# ", " #}", "for x in ", "if ", "endfor",
                    "endif", "set x = ", "generation", "endgeneration", "raw", "endraw", "[", "]", ":", "(",
                    ")", "'", "\"", "\\", "%", "L", "s", "d", "none", "|tojson", "|length", ".split(", "::-1",
                    "1", "-", ", ", "~", "\n", "é", "macro m(a)", "endmacro", "call m()", "endcall", " in "
                ]).prop_map(String::from),
            ],
            0..24,
        )
    ) {
        let context = serde_json::json!({"L": [1, 2, 3], "s": "a é b", "d": {"a": 1}, "n": null});
        let source = pieces.concat();
        match rendered(&source, &context) {
            Ok(text) => prop_assert!(text.len() < 10_000),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Slices of any bounds are answered for.
    #[test]
    fn any_slice_is_answered_for(start in -5i64..5, stop in -5i64..5, step in -3i64..4, length in 0usize..4) {
        let list: Vec<usize> = (0..length).collect();
        let context = serde_json::json!({"L": list, "s": "é茶🌧"});
        let slice = rendered(&format!("{{{{ L[{start}:{stop}:{step}] }}}}"), &context);
        prop_assert_eq!(slice.is_ok(), step != 0);
        let text = rendered(&format!("{{{{ s[{start}:] + s[:{stop}] }}}}"), &context);
        prop_assert!(text.is_ok());
    }
}
