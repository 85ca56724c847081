use super::*;

fn rewritten(source: &str) -> String {
    rewrite(source).unwrap().0
}

#[test]
fn expressions_become_filters_where_python_differs() {
    assert_eq!(rewritten("{{ x[::-1] }}"), "{{ x|__slice__(none, none, (-1)) }}");
    assert_eq!(rewritten("{{ a ~ 1.5 ~ b.c }}"), "{{ a|__concat__(1.5, b.c) }}");
    assert_eq!(rewritten("{{ a + b * 2 }}"), "{{ a|__add__(b|__mul__(2)) }}");
    assert_eq!(
        rewritten("{{ m['role'] == 'a' and not x }}"),
        "{{ (m[\"role\"]|__eq__(\"a\") and (not x)) }}"
    );
    assert_eq!(
        rewritten("{{ d.items }}{{ d.items() }}"),
        "{{ d|__attribute__(\"items\", \"d\") }}{{ d|__method__(\"items\") }}"
    );
    assert_eq!(rewritten("{{ 1 < x < 3 }}"), "{{ (1|__lt__(x) and x|__lt__(3)) }}");
    assert_eq!(rewritten("{{ x is not none|f }}"), "{{ (not (x is none))|f }}");
    assert_eq!(rewritten("{% raw %}{{ x }}{% endraw %}{"), "{{ \"{{ x }}\" }}{{ \"{\" }}");
}

#[test]
fn statements_keep_python_s_scopes() {
    assert_eq!(
        rewritten("{% set n.a = 1 %}{% for x in y %}{% endfor %}"),
        "{% do __set_attribute__(n, \"a\", 1) %}{% for x in y|__iterable__ %}{% endfor %}"
    );
    assert_eq!(
        rewritten("{% macro m(a) %}{{ n }}{% endmacro %}"),
        "{% macro m(a) %}{% if false %}{{ n }}{% endif %}{{ n }}{% endmacro %}"
    );
    assert_eq!(
        rewritten("{% macro m(a=1) %}{% endmacro %}"),
        "{% macro m(a) %}{% if a is __missing__ %}{% set a = 1 %}{% endif %}{% endmacro %}\
         {% set m = __macro__(m, [\"a\"], true, false) %}"
    );
    assert_eq!(
        rewritten("{% set x %}a{% endset %}"),
        "{% set __text_1__ %}{% with %}a{% endwith %}{% endset %}{% set x = __text_1__ %}"
    );
}

#[test]
fn generation_tags_become_call_blocks() {
    let (source, found) = rewrite("a {%- generation -%} b{% endgeneration %}").unwrap();
    assert!(found);
    assert_eq!(source, "a{% call __generation__() %}b{% endcall %}");
    assert!(!rewrite("{% set generation = 1 %}{{ generation }}").unwrap().1);
}

#[test]
fn tags_stay_on_their_lines() {
    let source = rewritten("a\n{# b\n #}\n{%- if x %}\n{{\n y }}{% endif %}");
    assert_eq!(source, "a\n{% \n\nif x %}{{ \n\ny }}{% endif %}");
}
