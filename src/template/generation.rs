//! `{% generation %}` … `{% endgeneration %}`: the parts of a template that a model writes.
//!
//! [`rewrite`](super::rewrite) turns the tags into a call block of a function that puts the block's text
//! between two sentinels when asked to. As in Hugging Face's own extension it is a call block, so that
//! variables set in it stay in it.

use std::ops::Range;

/// The function that the tags are rewritten to.
pub const FUNCTION: &str = "__generation__";

/// The variable that holds the sentinel. It is empty when spans are not wanted.
pub const SENTINEL: &str = "__generation_sentinel__";

/// Removes sentinels from a text: the text without them, and the spans that were between pairs of them.
pub fn strip(text: &str, sentinel: &str) -> (String, Vec<Range<usize>>) {
    let mut out = String::with_capacity(text.len());
    let mut spans = Vec::new();
    for (index, piece) in text.split(sentinel).enumerate() {
        let start = out.len();
        out.push_str(piece);
        // Every second piece is inside of a block, since the sentinel is at both ends of it.
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
    fn strips_sentinels() {
        let (text, spans) = strip("ab@cd@e@@f", "@");
        assert_eq!(text, "abcdef");
        assert_eq!(spans, [2..4, 5..5]);
    }
}
