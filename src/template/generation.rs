//! `{% generation %}` … `{% endgeneration %}`: the parts of a template that a model writes.
//!
//! The tags are rewritten to a call block around a function that marks its text with two sentinels
//! when asked to. As in Hugging Face's own extension the block is a call block, so that variables
//! set in it stay in it.

use std::ops::Range;

/// The function that the tags are rewritten to.
pub const FUNCTION: &str = "__generation__";

/// The variable that holds the sentinel, empty when spans are not wanted.
pub const SENTINEL: &str = "__generation_sentinel__";

/// The source with its tags rewritten, and whether there were any.
pub fn rewrite(source: &str) -> (String, bool) {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    let mut found = false;
    while let Some(start) = rest.find("{%") {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        match tag(rest) {
            Some((open, name, close, length)) => {
                let body =
                    if name == "generation" { format!("call {FUNCTION}()") } else { "endcall".to_owned() };
                out.push_str(&format!("{{%{open} {body} {close}%}}"));
                rest = &rest[length..];
                found = true;
            }
            None => {
                out.push_str("{%");
                rest = &rest[2..];
            }
        }
    }
    out.push_str(rest);
    (out, found)
}

/// A generation tag at the beginning of `text`: its two whitespace signs, its name, its length.
fn tag(text: &str) -> Option<(&str, &str, &str, usize)> {
    let end = text.find("%}")?;
    let inner = &text[2..end];
    let open = &inner[..usize::from(inner.starts_with(['-', '+']))];
    let inner = &inner[open.len()..];
    let name = inner.trim_end_matches(['-', '+']);
    let close = &inner[name.len()..];
    let name = name.trim();
    matches!(name, "generation" | "endgeneration").then_some((open, name, close, end + 2))
}

/// Text between pairs of sentinels: the text without them, and the spans that were between.
pub fn strip(text: &str, sentinel: &str) -> (String, Vec<Range<usize>>) {
    let mut out = String::with_capacity(text.len());
    let mut spans = Vec::new();
    for (index, piece) in text.split(sentinel).enumerate() {
        let start = out.len();
        out.push_str(piece);
        // Odd pieces are inside: the sentinel stands at both ends of a block.
        if index % 2 == 1 {
            spans.push(start..out.len());
        }
    }
    (out, spans)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn rewrites_the_tags_and_nothing_else() {
        let (source, found) = rewrite("{% if x %}a{%- generation -%} {{ y }}{% endgeneration %}{% endif %}");
        assert!(found);
        assert_eq!(source, "{% if x %}a{%- call __generation__() -%} {{ y }}{% endcall %}{% endif %}");
        let (source, found) = rewrite("{% set generation = 1 %}{{ generation }}{%");
        assert!(!found);
        assert_eq!(source, "{% set generation = 1 %}{{ generation }}{%");
    }

    #[test]
    fn strips_sentinels() {
        let (text, spans) = strip("ab@cd@e@@f", "@");
        assert_eq!(text, "abcdef");
        assert_eq!(spans, [2..4, 5..5]);
    }
}
