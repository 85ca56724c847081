//! What a row says as a whole: marks, parts of its question that have no place, several answers as text,
//! nulls, files that are no list of rows.

use std::fs;

use runner::data::Need;
use serde_json::{Value, json};

use super::helper::{Outcome, plain};

const PAIRS: Need = Need::Preference;

fn file(name: &str, text: &str, need: Need) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    plain().file(&path, need)
}

fn refused<const N: usize>(need: Need, rows: [(Value, &str); N]) {
    for (row, part) in rows {
        let error = plain().row(row.clone(), need).error;
        let error = error.unwrap_or_else(|| panic!("{row} is read"));
        assert!(error.contains(part), "{row}: {error}");
    }
}

#[test]
fn rows_that_are_marked_are_not_trained() {
    let row = |mark: Value| {
        let mut row = json!({"prompt": "q", "completion": "y"});
        row.as_object_mut().unwrap().extend(mark.as_object().unwrap().clone());
        row
    };
    let rows = [
        json!({"weight": 0}),
        json!({"loss": false}),
        json!({"training": false, "weight": 0.0}),
        json!({"train": "false"}),
        json!({"weight": 1, "loss": true}),
        json!({"weight": 0.5}),
    ];
    let read = plain().rows(&rows.map(row), Need::Sft);
    assert_eq!(read.told(), ["u:q > a:y"; 2]);
    assert_eq!(
        read.refused,
        [
            "`rows.jsonl` line 1: the row is not to be trained: /weight is 0",
            "`rows.jsonl` line 2: the row is not to be trained: /loss is false",
            "`rows.jsonl` line 3: the row is not to be trained: /weight is 0.0",
            "`rows.jsonl` line 4: the row is not to be trained: /train is \"false\"",
        ]
    );
    assert_eq!(read.warnings, ["`rows.jsonl`: nothing reads `/weight`"]);
    refused(Need::Sft, [(row(json!({"weight": 0, "loss": true})), "/weight contradicts /loss")]);
    let pair = json!({"prompt": "q", "chosen": "y", "rejected": "n", "weight": 0});
    refused(PAIRS, [(pair, "the row is not to be trained")]);
}

#[test]
fn no_part_of_a_question_is_lost_beside_answers_that_hold_it() {
    let whole =
        |answer: &str| json!([{"role": "user", "content": "q"}, {"role": "assistant", "content": answer}]);
    let row = |keys: Value| {
        let mut row = json!({"chosen": whole("y"), "rejected": whole("n")});
        row.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        row
    };
    let texts = |keys: Value| {
        let mut row = json!({"chosen": "Two? Yes.", "rejected": "Two? No."});
        row.as_object_mut().unwrap().extend(keys.as_object().unwrap().clone());
        row
    };
    let history = json!([["a", "b"]]);
    refused(
        PAIRS,
        [
            (row(json!({"history": history})), "/history would be lost"),
            (texts(json!({"history": history})), "/history would be lost"),
            (row(json!({"prompt": "q", "history": history})), "/history would be lost"),
            (row(json!({"instruction": "Be a pirate.", "input": "matey"})), "/instruction would be lost"),
            (row(json!({"instruction": "q", "input": "matey"})), "/input would be lost"),
            (row(json!({"query": "r"})), "/query would be lost"),
            (row(json!({"prompt": "r", "input": "matey"})), "/input would be lost"),
            (
                row(
                    json!({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "q"}]}),
                ),
                "/messages would be lost",
            ),
        ],
    );
    for keys in [
        json!({}),
        json!({"history": []}),
        json!({"history": [["", ""]]}),
        json!({"instruction": "q"}),
        json!({"instruction": "q\n", "input": " "}),
        json!({"query": "q"}),
        json!({"messages": whole("y")}),
    ] {
        let read = plain().row(row(keys.clone()), PAIRS);
        assert_eq!((read.told(), read.warnings), (vec!["u:q > a:y | a:n".to_owned()], vec![]), "{keys}");
    }
    let row = row(json!({"prompt": "r"}));
    assert_eq!(plain().row(row, PAIRS).warnings, ["`rows.jsonl`: nothing reads `/prompt`"]);
}

#[test]
fn several_rejected_answers_may_be_json_text() {
    let pairs = ["u:q > a:y | a:n", "u:q > a:y | a:m"];
    let turns = |text: &str| json!([{"role": "assistant", "content": text}]);
    for rejected in [json!(["n", "m"]), json!([turns("n"), turns("m")])] {
        let row = json!({"prompt": "q", "chosen": "y", "rejected": rejected.to_string()});
        assert_eq!(plain().row(row, PAIRS).told(), pairs);
        let row = json!({"query": "q", "response": "y", "rejected_response": rejected.to_string()});
        assert_eq!(plain().row(row, PAIRS).told(), pairs);
    }
    let csv = "prompt,chosen,rejected\nq,y,\"[\"\"n\"\",\"\"m\"\"]\"\n";
    let read = file("rows.csv", csv, PAIRS);
    assert_eq!(read.told(), pairs);
    assert_eq!(read.warnings, ["`rows.csv`: 1 rows have several rejected answers: 2 pairs"]);
    let row = |chosen: &str, rejected: &str| json!({"prompt": "q", "chosen": chosen, "rejected": rejected});
    refused(
        PAIRS,
        [
            (
                row("y", "['n', 'm']"),
                "wrong type at /rejected: \"['n', 'm']\"; accepted: text, turns, or a list of answers",
            ),
            (row("y", "[\"it's\" 'm']"), "json.dumps"),
            (row("y", "[]"), "(empty answer: 1)"),
            (row("y", "[\"n\", 3]"), "wrong type at /rejected"),
            (
                row("[{\"role\": \"assistant\", \"content\": \"y\"}, \"x\"]", "n"),
                "wrong type at /chosen/1: \"x\"",
            ),
            (row("y", "[{\"role\": \"assistant\"}]"), "missing /rejected/0/content"),
            (row("y", "[{'role': 'assistant', 'content': 'n'}]"), "json.dumps"),
            (row("{'role': 'assistant', 'content': 'y'}", "n"), "json.dumps"),
            (row("[array([{'content': 'y', 'role': 'assistant'}])]", "n"), "json.dumps"),
            (
                row("[{\"role\": \"assistant\", \"content\": \"y\"},]", "n"),
                "begins as turns in JSON do, and is no JSON",
            ),
            (row("{\"content\": \"y\", \"role\": \"assistant", "n"), "wrong type at /chosen"),
        ],
    );
    // Answers in JSON to one question.
    let lists = "`rows.jsonl`: 1 rows have an answer that is written as a list of texts: it is read as one answer, as it is \
                 written";
    let read = plain().row(row("[\"red\"]", "[\"red\", \"blue\"]"), PAIRS);
    assert_eq!(
        (read.told(), read.warnings),
        (vec!["u:q > a:[\"red\"] | a:[\"red\", \"blue\"]".to_owned()], vec![lists.to_owned()])
    );
    let read = plain().row(row("['red']", "['blue']"), PAIRS);
    assert_eq!(read.told(), ["u:q > a:['red'] | a:['blue']"]);
    let read = plain().row(row("{\"role\": \"user\"}", "[1, 2]"), PAIRS);
    assert_eq!(
        (read.told(), read.warnings),
        (vec!["u:q > a:{\"role\": \"user\"} | a:[1, 2]".to_owned()], vec![])
    );
}

#[test]
fn accepted_answers_may_be_json_text() {
    let accepted = |cell: &str| {
        let csv = format!("prompt,completion,accepted_answers\na,b,{cell}\n");
        let read = file("rows.csv", &csv, Need::Sft);
        assert_eq!(read.error, None);
        read.rows[0].accepted_answers.clone()
    };
    assert_eq!(accepted("\"[\"\"b\"\",\"\"c\"\"]\""), ["b", "c"]);
    assert_eq!(accepted("b"), ["b"]);
    assert_eq!(accepted(""), [] as [&str; 0]);
}

#[test]
fn nulls_that_are_left_out_are_named() {
    let row = json!({"messages": [
        {"role": "user", "content": "q", "name": null},
        {"role": "assistant", "content": null, "tool_calls": [
            {"id": null, "function": {"name": "f", "arguments": {"a": "x", "b": null, "c": [{"d": null}]}}}]}],
        "tools": [{"name": "f", "parameters": {"a": {"enum": null}}}], "chat_template_kwargs": {"date": null, "x": 1}});
    assert_eq!(
        plain().rows(&[row.clone(), row], Need::Sft).warnings,
        [
            "`rows.jsonl`: keys that hold null are left out, as if they were not there (tables have a null for every \
          key of another row): `/messages/*/tool_calls/*/function/arguments/b`, \
          `/messages/*/tool_calls/*/function/arguments/c/*/d`, `/tools/*/parameters/a/enum`, \
          `/chat_template_kwargs/date`"
        ]
    );
}

#[test]
fn what_tells_the_better_answer_says_what_is_accepted() {
    let ab = |winner: Value| json!({"prompt": "q", "response_a": "y", "response_b": "n", "winner": winner});
    let ids =
        |id: Value| json!({"prompt": "q", "response_0": "y", "response_1": "n", "better_response_id": id});
    let places = |index: Value| json!({"prompt": "q", "responses": ["y", "n"], "chosen_index": index});
    let winners = "accepted: `a`, `model_a` or `response_a`, the same with `b`, or `tie`";
    let better = "accepted: 0 for `response_0`, 1 for `response_1`";
    let place = "accepted: a place from 0 in `responses`, which has 2";
    refused(
        PAIRS,
        [
            (ab(json!(1)), &format!("wrong type at /winner: 1; {winners}")),
            (ab(json!("1")), &format!("wrong type at /winner: \"1\"; {winners}")),
            (ab(json!(["a"])), winners),
            (ids(json!(true)), &format!("wrong type at /better_response_id: true; {better}")),
            (ids(json!(2)), better),
            (ids(json!("first")), better),
            (places(json!(true)), &format!("wrong type at /chosen_index: true; {place}")),
            (places(json!(-1)), place),
            (places(json!(2)), place),
        ],
    );
}

#[test]
fn a_json_file_that_is_no_list_of_rows_says_so() {
    let row = json!({"prompt": "a", "completion": "b"});
    for (value, part) in [
        (
            json!({"data": [row]}),
            "one object with the keys `data`: make the list that `data` holds the whole file",
        ),
        (json!({"0": row, "1": row}), "one object with the keys `0`, `1`: write its rows as a list"),
        (json!({"prompt": {"0": "a"}, "completion": {"0": "b"}}), "orient=\"records\""),
    ] {
        for text in [format!("{value}\n"), format!("{value:#}")] {
            let error = file("rows.json", &text, Need::Sft).error.unwrap();
            assert!(
                error
                    .starts_with("`rows.json`: expected a list of rows, or one row a line; found one object"),
                "{error}"
            );
            assert!(error.contains(part), "{error}");
        }
    }
    let error = file("rows.json", &format!("{row:#}"), Need::Sft).error.unwrap();
    assert!(
        error.contains("found one object with the keys `prompt`, `completion`: if it is a row, put it"),
        "{error}"
    );
    let error = file("rows.json", &format!("{row:#}\n{row:#}\n"), Need::Sft).error.unwrap();
    assert!(error.contains("found objects over several lines: put them between `[` and `]`"), "{error}");
    for (value, part) in
        [(row.clone(), "write each object on a line of its own"), (json!([row]), "named `.json`")]
    {
        let error = file("rows.jsonl", &format!("{value:#}"), Need::Sft).error.unwrap();
        assert!(
            error.starts_with("`rows.jsonl`: expected one row a line; the first line is half of one"),
            "{error}"
        );
        assert!(error.contains(part), "{error}");
    }
    for lines in [format!("{row}\n"), format!("\n{row}\n{row}\n"), format!("[{row}]")] {
        assert!(!file("rows.json", &lines, Need::Sft).told().is_empty());
    }
}
