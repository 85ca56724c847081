//! Templates that are broken, or made to do harm: each ends soon, with a text or an error, on a thread with the
//! stack that Rust gives threads. `PROPTEST_CASES` says how many are made up.

use proptest::prelude::*;
use runner::template::{ChatTemplate, SpecialTokens};
use serde_json::json;

fn rendered(source: &str) -> Result<String, String> {
    let context = json!({"messages": [{"role": "user", "content": "one two\nthree"}], "s": "a-b", "L": [1, [2], {"k": 3}]});
    let template = ChatTemplate::new(source.to_owned(), SpecialTokens::default());
    let text = template.and_then(|template| template.render_context(&context));
    text.map_err(|error| format!("{error:#}"))
}

/// What repeats a body without end.
fn repeated(body: &str) -> String {
    format!(
        "{{% set n = namespace(s='xxxxxxxx', x=[1]) %}}{{% for a in range(99999) %}}{{% for b in range(99999) %}}{body}{{% endfor %}}{{% endfor %}}"
    )
}

/// What puts the same value into a namespace twice as large, sixty times.
fn doubled(expression: &str, then: &str) -> String {
    format!(
        "{{% set n = namespace(s='xxxxxxxx', x=[1]) %}}{{% for a in range(60) %}}{{% set n.s = {expression} %}}{{% endfor %}}{then}"
    )
}

/// What puts a value into another of its kind, very often.
fn nested(expression: &str, then: &str) -> String {
    format!(
        "{{% set n = namespace(x=[1]) %}}{{% for a in range(20000) %}}{{% set n.x = {expression} %}}{{% endfor %}}{then}"
    )
}

#[test]
fn a_template_that_takes_too_much_is_stopped() {
    const PAST: &str = "goes past what it may take";
    for source in [
        repeated(""),
        repeated("x"),
        repeated(
            "{% set t %}yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy{% endset %}",
        ),
        repeated("{% set n.s = n.s ~ 'xxxxxxxxxxxxxxxx' %}"),
        doubled("n.s ~ n.s", ""),
        doubled("n.s + n.s", ""),
        doubled("n.s * 2", ""),
        doubled("n.s|replace('x', 'xx')", ""),
        doubled("n.s.replace('', 'xx')", ""),
        doubled("n.s.join([n.s, n.s])", ""),
        doubled("'%s%s' % (n.s, n.s)", ""),
        doubled("'{0}{0}'.format(n.s)", ""),
        doubled("[n.s, n.s]|join", ""),
        doubled("n.s ~ '\\t' ~ n.s.expandtabs(1000)", ""),
        doubled("[n.s, n.s]", "{{ n.s }}"),
        doubled("[n.s, n.s]", "{{ n.s|tojson }}"),
        doubled("[n.s, n.s]", "{{ n.s|tojson(indent=2) }}"),
        doubled("[n.s, n.s]", "{{ n.s|pprint }}"),
        doubled("{'k': n.s, 'l': n.s}", "{{ n.s|string|length }}"),
        doubled("(n.s, n.s)", "{{ {n.s: 1} }}"),
        nested("[n.x]", "{{ n.x }}"),
        nested("[n.x]", "{{ n.x|tojson }}"),
        nested("[n.x]", "{{ n.x|pprint }}"),
        nested("[n.x]", "{{ n.x == [n.x] }}"),
        nested("(n.x,)", "{{ {n.x: 1}.get(n.x) }}"),
        nested("{'k': n.x}", "{{ n.x }}"),
        nested("n.x|batch(1)|list", "{{ n.x }}"),
        nested("namespace(x=n.x)", "{{ n.x }}"),
        "{{ range(99999)|unique|list|length }}".into(),
        "{% set l = range(99999)|list %}{% for a in l %}{{ 0 in l }}{% endfor %}".into(),
        "{% set l = range(99999)|list %}{% for a in l %}{{ -1 in l }}{% endfor %}".into(),
        "{% macro m(x) %}{{ m(x) }}{{ m(x) }}{% endmacro %}{{ m(1) }}".into(),
    ] {
        let error = rendered(&source).unwrap_err();
        let by_itself = ["recursion limit", "repeats a value too often", "nested this deeply"]
            .iter()
            .any(|what| error.contains(what));
        assert!(error.contains(PAST) || by_itself, "{}\n{error}", &source[..source.len().min(300)]);
    }
}

#[test]
fn values_that_hold_many_others_are_dropped_without_harm() {
    for source in [
        nested("[n.x]", "done"),
        nested("{'k': [(n.x,)]}", "done"),
        nested("namespace(x=n.x)", "done"),
        nested("cycler(n.x)", "done"),
        nested("n.x|batch(1)|list", "done"),
        nested("[n.x].index", "done"),
        "{% set n = namespace() %}{% set n.n = n %}{% set n.l = [n, {'n': n}] %}done".into(),
        format!("{{% set x = [] %}}{}done", "{% set x = [x] %}".repeat(50_000)),
        "{% set n = namespace(m='') %}{% for i in range(9999) %}{% set x = n.m %}{% macro m() %}{{ x }}{% endmacro %}{% set n.m = m %}{% endfor %}done".into(),
        format!("{}done", "{% set x = m %}{% macro m() %}{{ x }}{% endmacro %}".repeat(1_900)),
    ] {
        assert_eq!(rendered(&source), Ok("done".into()), "{}", &source[..source.len().min(300)]);
    }
}

/// A source of many parts, in each of the ways in which parts can be put together.
#[test]
fn long_and_deep_sources_are_refused_or_read() {
    let times = |before: &str, part: &str, after: &str| format!("{before}{}{after}", part.repeat(40_000));
    let within =
        |open: &str, close: &str| format!("{{{{ {}1{} }}}}", open.repeat(9_999), close.repeat(9_999));
    let blocks = |open: &str, close: &str| format!("{}{}", open.repeat(9_999), close.repeat(9_999));
    for source in [
        times("{{ 1", "+1", " }}"),
        times("{{ 1", "**1", " }}"),
        times("{{ 1", " or 1", " }}"),
        times("{{ 1", " and 1", " }}"),
        times("{{ 1", " < 1", " }}"),
        times("{{ 1", " if 1", " }}"),
        times("{{ 1", " if 0 else 1", " }}"),
        times("{{ s", ".a", " }}"),
        times("{{ s", "[0]", " }}"),
        times("{{ s", "()", " }}"),
        times("{{ s", "|list", " }}"),
        times("{{ s", " is none", " }}"),
        times("{{ ", "not ", "1 }}"),
        times("{{ ", "-", "1 }}"),
        times("{% if 0 %}", "{% elif 0 %}", "{% endif %}"),
        times("{% filter upper", "|lower", "%}x{% endfilter %}"),
        within("(", ")"),
        within("[", "]"),
        within("{1:", "}"),
        within("'a'%(", ")"),
        within("s[", "]"),
        within("dict(a=", ")"),
        within("(1 < ", " < 2)"),
        format!("{{{{ {}x{} }}}}", "(1 < ".repeat(50), " < 2)".repeat(50)),
        blocks("{% if 1 %}", "{% endif %}"),
        blocks("{% for a in [1] %}", "{% endfor %}"),
        blocks("{% macro m() %}", "{% endmacro %}"),
        blocks("{% call m() %}", "{% endcall %}"),
        blocks("{% set a %}", "{% endset %}"),
        blocks("{% filter upper %}", "{% endfilter %}"),
        "{{ ".repeat(50_000),
        "{% raw %}".repeat(50_000),
        "{# ".repeat(50_000),
        "x".repeat(1 << 21),
    ] {
        if let Err(error) = rendered(&source) {
            assert!(!error.is_empty() && error.len() < 1_000, "{}", &source[..40]);
        }
    }
    // A chain of a length that somebody may write is read.
    assert_eq!(rendered(&format!("{{{{ 1{} }}}}", "+1".repeat(199))), Ok("200".into()));
    assert_eq!(rendered(&format!("{{{{ 'a'{} }}}}", " ~ 'a'".repeat(999))), Ok("a".repeat(1_000)));
}

#[test]
fn widths_and_counts_of_any_size_are_answered_for() {
    let wide = "99999999999";
    for source in [
        format!("{{{{ '%{wide}d' % 1 }}}}"),
        format!("{{{{ '%.{wide}f' % 1 }}}}"),
        format!("{{{{ '%*d' % ({wide}, 1) }}}}"),
        format!("{{{{ '{{:{wide}}}'.format(1) }}}}"),
        format!("{{{{ s|center({wide}) }}}}"),
        format!("{{{{ s.ljust({wide}) }}}}"),
        format!("{{{{ s.zfill({wide}) }}}}"),
        format!("{{{{ 'x' * {wide} }}}}"),
        format!("{{{{ [1] * {wide} }}}}"),
        format!("{{{{ range({wide}) }}}}"),
        format!("{{{{ s|indent({wide}) }}}}"),
        format!("{{{{ L|tojson(indent={wide}) }}}}"),
        format!("{{{{ L|batch({wide}, 'x')|list|length }}}}"),
        format!("{{{{ L|slice({wide}, 'x')|list|length }}}}"),
        format!("{{{{ 2 ** {wide} }}}}"),
        format!("{{{{ 1|round({wide}) }}}}"),
        "{{ 170141183460469231731687303715884105727|round(-38) }}".into(),
        "{{ range(-9223372036854775807, 9223372036854775807, 9223372036854775807)|list }}".into(),
        format!("{{{{ s|truncate({wide}) }}}}{{{{ s|wordwrap({wide}) }}}}"),
        format!("{{{{ '{}' % 1 }}}}", "%65536d".repeat(60_000)),
        "{{ 'x'|map('map', 'map', 'map', 'upper')|list }}".into(),
        format!("{{{{ 'x'|map({})|list }}}}", "'map', ".repeat(60_000)),
        "{% for a in [1] %}{{ loop.cycle() }}{% endfor %}".into(),
        "{% for a in [1] %}{% call loop.cycle() %}{% endcall %}{% endfor %}".into(),
        "{{ {[1]: 2} }}".into(),
    ] {
        if let Ok(text) = rendered(&source) {
            assert!(text.len() < 1 << 21, "{} bytes: {}", text.len(), &source[..source.len().min(60)]);
        }
    }
}

/// Once a template went past a bound, it is not rendered again: each row might take as long.
#[test]
fn a_template_that_was_stopped_stays_so() {
    let source = "{% if go %}{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}{% endif %}ok";
    let template = ChatTemplate::new(source.to_owned(), SpecialTokens::default()).unwrap();
    assert_eq!(template.render_context(&json!({"go": false})).unwrap(), "ok");
    let first = template.render_context(&json!({"go": true})).unwrap_err().to_string();
    assert!(first.contains("thousands of steps"), "{first}");
    assert_eq!(template.render_context(&json!({"go": false})).unwrap_err().to_string(), first);
}

fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(usual))
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "n.a",
        "n.b",
        "s",
        "L",
        "messages",
        "1",
        "0",
        "-1",
        "999999999999",
        "1.5",
        "'x'",
        "'%s%999d'",
        "none",
        "n",
        "range(999)",
        "''",
        "{}",
        "[]",
        "loop",
    ]);
    leaf.prop_map(String::from).prop_recursive(4, 24, 3, |inner| {
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (
                pair.clone(),
                prop::sample::select(vec!["+", "~", "*", "%", "//", "**", "-", "==", "<", " in ", " and "])
            )
                .prop_map(|((a, b), operator)| format!("({a}{operator}{b})")),
            pair.clone().prop_map(|(a, b)| format!("[{a}, {b}]")),
            pair.clone().prop_map(|(a, b)| format!("{{{a}: {b}}}")),
            pair.clone().prop_map(|(a, b)| format!("{a}[{b}]")),
            (
                inner.clone(),
                prop::sample::select(vec![
                    "list",
                    "string",
                    "tojson",
                    "pprint",
                    "length",
                    "join('ab')",
                    "replace('', 'xyz')",
                    "center(99999)",
                    "batch(9, 0)",
                    "slice(99, 0)",
                    "unique",
                    "sort",
                    "reverse",
                    "upper",
                    "wordwrap(3)",
                    "indent(999)",
                    "map('list')",
                    "groupby(0)",
                    "urlencode",
                    "striptags",
                    "xmlattr",
                    "tojson(indent=99)",
                    "items",
                    "wordcount",
                    "truncate(3)",
                    "format(1, 2)",
                    "sum",
                    "min",
                    "first",
                    "last",
                    "round(-30)",
                    "int",
                ])
            )
                .prop_map(|(a, filter)| format!("({a}|{filter})")),
            (
                pair,
                prop::sample::select(vec![
                    "join",
                    "split",
                    "replace",
                    "format",
                    "zfill",
                    "center",
                    "index",
                    "count",
                    "get",
                    "expandtabs",
                    "translate",
                    "startswith",
                    "partition",
                    "cycle",
                    "changed",
                ])
            )
                .prop_map(|((a, b), method)| format!("{a}.{method}({b})")),
            inner.prop_map(|a| format!("namespace(a={a})")),
        ]
    })
}

fn statements() -> impl Strategy<Value = String> {
    let leaf = expression().prop_flat_map(|value| {
        prop::sample::select(vec![
            format!("{{{{ {value} }}}}"),
            format!("{{% set n.a = {value} %}}"),
            format!("{{% set n.b = [n.a, {value}] %}}"),
            format!("{{% set n.a = n.a ~ {value} %}}"),
        ])
    });
    leaf.prop_recursive(4, 16, 3, |inner| {
        let body = prop::collection::vec(inner, 1..4).prop_map(|parts| parts.concat());
        (
            body,
            prop::sample::select(vec![
                ("{% for i in range(999) %}", "{% endfor %}"),
                ("{% for i in n.b recursive %}{{ loop(n.b) }}", "{% endfor %}"),
                ("{% macro m(x) %}{{ m(x) }}", "{% endmacro %}{{ m(1) }}"),
                ("{% set n.b %}", "{% endset %}"),
                ("{% filter replace('a', 'aa') %}", "{% endfilter %}"),
            ]),
        )
            .prop_map(|(body, (open, close))| format!("{open}{body}{close}"))
    })
}

proptest! {
    #![proptest_config(cases(48))]

    /// Templates of hostile pieces end, with a text of bounded length or an error.
    #[test]
    fn hostile_pieces_are_answered_for(parts in prop::collection::vec(statements(), 1..5)) {
        let source = format!("{{% set n = namespace(a='x', b=[1]) %}}{}", parts.concat());
        match rendered(&source) {
            Ok(text) => prop_assert!(text.len() <= 1 << 26),
            Err(error) => prop_assert!(!error.is_empty()),
        }
    }
}
