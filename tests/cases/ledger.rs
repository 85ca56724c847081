//! Rows that are cut or dropped: why, how many may be, and what is told of them.

use std::fs;

use crate::workbench::{Workbench, golden_model, tests};

fn recipe(model: &str, rows: &str, data_keys: &str, stage_keys: &str, kinds: &[&str]) -> String {
    let mut text = format!(
        "name = \"t\"\n[model]\nbase = {:?}\n[data.d]\nsource = {rows:?}\n{data_keys}\n[defaults]\ndata = \"d\"\n\
         max_steps = 1\nlogging_steps = 1\npolicy = \"base\"\n{stage_keys}\n",
        golden_model(model),
    );
    for kind in kinds {
        text += &format!("[[stage]]\nname = \"{kind}\"\nkind = \"{kind}\"\n");
    }
    text
}

/// A recipe of these kinds on rows of `tests/cases/ledger`, or on `rows` themselves.
fn bench(model: &str, rows: &str, data_keys: &str, stage_keys: &str, kinds: &[&str]) -> Workbench {
    let bench = Workbench::new();
    let text = match rows.ends_with(".jsonl") {
        true => fs::read_to_string(tests("cases/ledger").join(rows)).unwrap(),
        false => rows.to_owned(),
    };
    bench.write("rows.jsonl", &text);
    bench.write("recipe.toml", &recipe(model, "rows.jsonl", data_keys, stage_keys, kinds));
    bench
}

const PREFERENCE: [&str; 5] = ["dpo", "cpo", "orpo", "simpo", "rm"];

fn has(text: &str, expected: &str) {
    assert!(text.contains(expected), "no `{expected}` in:\n{text}");
}

/// Llama 3's template trims `yes\n` to `yes`.
#[test]
fn pairs_that_the_template_trims_to_one_answer_are_not_trained_on() {
    for kind in PREFERENCE {
        let said = bench("llama3", "trim.jsonl", "", "", &[kind]).runner("check");
        assert_eq!(said.code, Some(2), "{kind}: {said:?}");
        has(&said.err, "none of 1 rows can be trained on");
        has(&said.err, "rows.jsonl` line 1: chosen equals rejected in the tokens that are trained");
    }
    // Chatml's keeps the newline, and so there is something to learn.
    let said = bench("qwen2", "trim.jsonl", "", "", &PREFERENCE).runner("check");
    assert_eq!(said.code, Some(0), "{said:?}");
    assert_eq!(said.out.matches("1 rows to train on, 0 held out, 0 cut, 0 dropped").count(), 5, "{said:?}");
}

/// Forty words, and a last one that differs, cut to 32 tokens.
#[test]
fn pairs_that_are_equal_once_cut_are_not_trained_on() {
    for kind in &PREFERENCE[..4] {
        let said = bench("qwen2", "all.jsonl", "", "max_length = 32", &[kind]).runner("check");
        assert_eq!(said.code, Some(2), "{kind}: {said:?}");
        has(&said.err, "rows.jsonl` line 1: chosen equals rejected once cut to max_length");
        has(&said.err, "raise `max_length`");
    }
    let bench = bench("qwen2", "pairs.jsonl", "max_dropped = 0.7", "max_length = 32", &["dpo", "rm"]);
    let said = bench.runner("check");
    assert_eq!(said.code, Some(0), "{said:?}");
    has(&said.out, "dpo: 1 rows to train on, 0 held out, 0 cut, 2 dropped\n");
    has(&said.out, "    chosen equals rejected once cut to max_length: 1, the first `");
    has(&said.out, "    prompt fills max_length: 1, the first `");
    has(
        &said.out,
        "rm: 1 rows to train on, 0 held out, 0 cut, 2 dropped\n    longer than max_length: 1, the first `",
    );
}

/// `good` rows that can be trained on and `bad` ones that have no answer.
fn rows(good: usize, bad: usize) -> String {
    let row =
        |i: usize, answer: &str| format!("{{\"prompt\": \"Say {i}.\", \"completion\": \"{answer}\"}}\n");
    (0..good).map(|i| row(i, "yes")).chain((0..bad).map(|i| row(i, " "))).collect()
}

#[test]
fn a_data_set_most_of_which_is_dropped_is_refused_by_check_as_by_run() {
    let sft = |good, bad, keys| bench("qwen2", &rows(good, bad), keys, "", &["sft"]);
    for command in ["check", "run"] {
        assert_eq!(sft(2, 2, "").runner(command).code, Some(0));
        let said = sft(2, 3, "").runner(command);
        assert_eq!(said.code, Some(2), "{said:?}");
        has(&said.err, "data `d`: 3 of 5 rows are dropped, more than `max_dropped` = 0.5 allows:");
        has(&said.err, "empty answer: 3, the first `");
        has(&said.err, "rows.jsonl` line 3");
        has(&said.err, "set `max_dropped` of `[data.d]` to 0.6 to train on the rest");
    }
    assert_eq!(sft(2, 3, "max_dropped = 0.6").runner("check").code, Some(0));
    assert_eq!(sft(3, 1, "max_dropped = 0.2").runner("check").code, Some(2));
    assert_eq!(sft(1, 99, "max_dropped = 1").runner("check").code, Some(0));
    let said = sft(0, 3, "max_dropped = 1").runner("check");
    assert_eq!(said.code, Some(2));
    has(&said.err, "none of 3 rows can be used (empty answer: 3)");
}

/// Rows that cannot be read, rows of no use and rows that are too long: all are dropped; cut ones are not.
#[test]
fn every_reason_counts_but_cuts() {
    let long = "lantern ".repeat(60);
    let mixed = format!(
        "{}not a row\n{{\"prompt\": \"{long}\", \"completion\": \"yes\"}}\n\
         {{\"prompt\": \"Say it.\", \"completion\": \"{long}\"}}\n",
        rows(1, 1)
    );
    let sft = |keys| bench("qwen2", &mixed, keys, "max_length = 32", &["sft"]);
    let said = sft("max_bad_rows = 1").runner("check");
    assert_eq!(said.code, Some(2), "{said:?}");
    has(&said.err, "3 of 5 rows are dropped");
    for reason in ["not JSON: 1", "empty answer: 1", "prompt fills max_length: 1"] {
        has(&said.err, reason);
    }
    assert!(!said.err.contains("cut to max_length"), "{said:?}");
    let bench = sft("max_bad_rows = 1\nmax_dropped = 0.6");
    let said = bench.runner("run");
    assert_eq!(said.code, Some(0), "{said:?}");
    has(&said.err, "sft: 2 rows to train on, 0 held out, 1 cut, 3 dropped\n");
    let told = |line: &str| {
        said.err.lines().filter(|said| said.starts_with("sft:   ") && said.contains(line)).count()
    };
    assert_eq!((told(": 1, the first `"), told("and 1 more reason")), (3, 1), "{said:?}");
    has(&said.err, "sft:   row by row: runs/t/sft/ledger.jsonl");
    let ledger = fs::read_to_string(bench.path("runs/t/sft/ledger.jsonl")).unwrap();
    assert_eq!(ledger.lines().count(), 4, "{ledger}");
}
