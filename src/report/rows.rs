//! What became of a stage's rows, in words.

use crate::plan::counts::Counts;
use crate::report::number::count;

/// How many rows are trained on, held out, cut and dropped.
pub fn kept(counts: &Counts) -> String {
    format!(
        "{} rows to train on, {} held out, {} cut, {} dropped",
        count(counts.train.rows),
        count(counts.held_out.rows),
        count(counts.rows_cut),
        count(counts.rows_dropped)
    )
}

/// Why rows were cut or dropped: one line per reason, the most frequent first; after `most` lines, how many
/// more there are.
pub fn reasons(counts: &Counts, most: usize) -> Vec<String> {
    let mut reasons: Vec<(&String, u64)> =
        counts.reasons.iter().map(|(reason, rows)| (reason, *rows)).collect();
    reasons.sort_by_key(|(_, rows)| std::cmp::Reverse(*rows));
    let line = |(reason, rows): &(&String, u64)| match counts.firsts.get(*reason) {
        Some(first) => format!("{reason}: {}, the first {first}", count(*rows)),
        None => format!("{reason}: {}", count(*rows)),
    };
    let mut lines: Vec<String> = reasons.iter().take(most).map(line).collect();
    match reasons.len().saturating_sub(most) {
        0 => {}
        1 => lines.push("and 1 more reason".to_owned()),
        more => lines.push(format!("and {more} more reasons")),
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::reasons as told;

    #[test]
    fn the_most_frequent_reasons_come_first_and_the_rest_is_counted() {
        let reasons = |rows: &[u64]| {
            let names = ["a", "b", "c", "d", "e"].map(str::to_owned).into_iter();
            let counts = serde_json::json!({
                "train": { "rows": 1, "shared": 0, "unshared": 0, "trained": 0, "attended": 0 },
                "held_out": { "rows": 0, "shared": 0, "unshared": 0, "trained": 0, "attended": 0 },
                "rows_cut": 0, "rows_dropped": 0, "longest_family": 0,
                "reasons": names.zip(rows.iter().copied()).collect::<std::collections::BTreeMap<_, _>>(),
                "firsts": { "b": "`f.jsonl` line 3" },
            });
            told(&serde_json::from_value(counts).unwrap(), 3)
        };
        assert_eq!(reasons(&[1, 4]), ["b: 4, the first `f.jsonl` line 3", "a: 1"]);
        assert_eq!(
            reasons(&[1, 2, 3, 4]),
            ["d: 4", "c: 3", "b: 2, the first `f.jsonl` line 3", "and 1 more reason"]
        );
        assert_eq!(reasons(&[5, 2, 3, 4, 4])[3], "and 2 more reasons");
        assert!(reasons(&[]).is_empty());
    }
}
