//! Taking a part of a text out of ranges of it.

use std::ops::Range;

/// The spans without what is in `part`.
pub fn less(spans: Vec<Range<usize>>, part: &Range<usize>) -> Vec<Range<usize>> {
    let around = spans.into_iter().flat_map(|span| {
        let before = span.start..span.end.min(part.start).max(span.start);
        let after = span.start.max(part.end).min(span.end)..span.end;
        [before, after]
    });
    around.filter(|span| !span.is_empty()).collect()
}
