//! Every format that rows come in, every kind of file, and the schemas of `schemas/`.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;

use proptest::prelude::*;
use runner::data::row_schema;
use runner::data::spec::{DataSpec, Format};
use runner::data::{Ledger, Need, read_rows};
use serde_json::{Value, json};

use super::helper::{spec, tests, told};

fn read(row: &Value, need: Need) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, format!("{row}\n")).unwrap();
    match read_rows(&spec(&[&path]), need, &mut Ledger::new()) {
        Ok(rows) => told(&rows[0]),
        Err(error) => format!("error: {error:#}").replace(&format!("{}", path.display()), "FILE"),
    }
}

/// Rows, what a preference stage reads, what an sft stage reads. Empty: it cannot.
fn formats() -> Vec<(Value, &'static str, &'static str)> {
    let user = json!({"role": "user", "content": "q"});
    let (good, bad) =
        (json!({"role": "assistant", "content": "y"}), json!({"role": "assistant", "content": "n"}));
    vec![
        (json!({"prompt": "q", "chosen": "y", "rejected": "n"}), "u:q > a:y | a:n", "u:q > a:y"),
        (
            json!({"prompt": [user], "chosen": [good], "rejected": [bad], "margin": 0.5, "tools": null}),
            "u:q > a:y | a:n",
            "u:q > a:y",
        ),
        // Answers that repeat the prompt, as ultrafeedback_binarized has them.
        (
            json!({"prompt": "q", "chosen": [user, good], "rejected": [user, bad]}),
            "u:q > a:y | a:n",
            "u:q > a:y",
        ),
        (json!({"chosen": [user, good], "rejected": [user, bad]}), "u:q > a:y | a:n", "u:q > a:y"),
        (json!({"messages": [user, good], "rejected_response": "n"}), "u:q > a:y | a:n", "u:q > a:y"),
        (json!({"messages": [user, good], "rejected_messages": [user, bad]}), "u:q > a:y | a:n", "u:q > a:y"),
        (
            json!({"system": "s", "query": "q", "history": [["a", "b"]], "response": "y", "rejected_response": "n"}),
            "s:s u:a a:b u:q > a:y | a:n",
            "s:s u:a a:b u:q > a:y",
        ),
        (
            json!({"conversations": [{"from": "system", "value": "s"}, {"from": "human", "value": "q"}],
                   "chosen": {"from": "gpt", "value": "y"}, "rejected": {"from": "gpt", "value": "n"}}),
            "s:s u:q > a:y | a:n",
            "s:s u:q > a:y",
        ),
        (
            json!({"chosen": "\n\nHuman: q\n\nAssistant: w\n\nHuman: r\n\nAssistant: y",
                   "rejected": "\n\nHuman: q\n\nAssistant: w\n\nHuman: r\n\nAssistant: n"}),
            "u:q a:w u:r > a:y | a:n",
            "u:q a:w u:r > a:y",
        ),
        (
            json!({"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": "y", "rejected": "n"}),
            "u:q > a:y | a:n",
            "u:q > a:y",
        ),
        (json!({"prompt": "q", "chosen": "y", "rejected": "y"}), "", "u:q > a:y"),
        (json!({"messages": [user, good, user, bad, user]}), "", "u:q a:y u:q a:n"),
        (json!({"messages": [user, good], "system": "s"}), "", "s:s u:q a:y"),
        (
            json!({"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "y"}]}),
            "",
            "u:q a:y",
        ),
        (json!({"prompt": "q", "completion": "y"}), "", "u:q > a:y"),
        (json!({"prompt": [user], "completion": [good]}), "", "u:q > a:y"),
        (json!({"instruction": "q", "input": "", "output": "y"}), "", "u:q > a:y"),
        (
            json!({"instruction": "q", "input": "i", "output": "y", "system": "s", "history": [["a", "b"]]}),
            "",
            "s:s u:a a:b u:q\ni > a:y",
        ),
        (json!({"query": "q", "response": "y"}), "", "u:q > a:y"),
        (json!({"prompt": "q", "response": "y"}), "", "u:q > a:y"),
        (json!({"text": "t"}), "", "t"),
        (
            json!({"instruction": "q", "input": "i", "chosen": "y", "rejected": "n"}),
            "u:q\ni > a:y | a:n",
            "u:q\ni > a:y",
        ),
        (json!({"instruction": "q", "output": ["y", "n"]}), "u:q > a:y | a:n", "u:q > a:y"),
        (json!({"prompt": "q", "responses": ["n", "y"], "chosen_index": 1}), "u:q > a:y | a:n", "u:q > a:y"),
        (
            json!({"prompt": "q", "response_0": "y", "response_1": "n", "better_response_id": 0}),
            "u:q > a:y | a:n",
            "u:q > a:y",
        ),
        (
            json!({"prompt": "q", "response_1": "y", "response_2": "n", "preference_strength": -2}),
            "u:q > a:y | a:n",
            "u:q > a:y",
        ),
        (
            json!({"prompt": "q", "response_a": "n", "response_b": "y", "winner": "b"}),
            "u:q > a:y | a:n",
            "u:q > a:y",
        ),
        (
            json!({"conversation_a": [user, good], "conversation_b": [user, bad], "winner": "model_a"}),
            "u:q > a:y | a:n",
            "u:q > a:y",
        ),
    ]
}

#[test]
fn every_format_reads_to_its_turns() {
    for (row, preference, sft) in formats() {
        let read_as = |need| match read(&row, need) {
            error if error.starts_with("error:") => String::new(),
            told => told,
        };
        assert_eq!(read_as(Need::Preference), preference, "{row}");
        assert_eq!(read_as(Need::Sft), sft, "{row}");
    }
}

#[test]
fn schemas_accept_what_reads_and_are_those_of_the_types() {
    let preference = jsonschema::draft7::new(&row_schema::preference()).unwrap();
    let sft = jsonschema::draft7::new(&row_schema::sft()).unwrap();
    for (mut row, as_preference, _) in formats() {
        // A null is a column that a row does not use.
        row.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let usable = !as_preference.is_empty() || row["chosen"].is_string();
        assert_eq!(preference.is_valid(&row), usable, "{row}");
        assert!(sft.is_valid(&row), "{row}");
    }
    for (name, schema) in [
        ("preference", row_schema::preference()),
        ("sft", row_schema::sft()),
        ("unpaired", row_schema::unpaired()),
        ("prompt", row_schema::prompt()),
    ] {
        let text = row_schema::text(&schema);
        let path = format!("schemas/{name}.schema.json");
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == text,
            "`{path}` is out of date; refresh it with\n    cargo run -- schema {name} > {path}"
        );
    }
}

#[test]
fn columns_rename_and_errors_name_the_file_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let rows = [
        json!({"question": "q", "answers": {"good": "y"}, "worse": "n"}),
        json!({"question": "q", "answers": {"good": "y"}, "worse": 4}),
    ];
    fs::write(&path, format!("{}\n{}\n", rows[0], rows[1])).unwrap();
    let mut spec = spec(&[&path]);
    for (ours, theirs) in [("prompt", "question"), ("chosen", "answers.good"), ("rejected", "worse")] {
        spec.columns.insert(ours.into(), theirs.into());
    }
    spec.max_bad_rows = 1;
    let mut ledger = Ledger::new();
    let read = read_rows(&spec, Need::Preference, &mut ledger).unwrap();
    assert_eq!(told(&read[0]), "u:q > a:y | a:n");
    assert_eq!(
        ledger.entries()[0].reason.to_string(),
        "wrong type at /worse: 4; accepted: text, a list or an object"
    );
}

#[test]
fn a_named_format_is_the_only_one_looked_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    let both = json!({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "y"}],
                      "rejected_response": "n"});
    fs::write(&path, both.to_string()).unwrap();
    let mut spec = spec(&[&path]);
    let told_as = |spec: &DataSpec| told(&read_rows(spec, Need::Sft, &mut Ledger::new()).unwrap()[0]);
    assert_eq!(told_as(&spec), "u:q > a:y");
    spec.format = Some(Format::Sft);
    assert_eq!(told_as(&spec), "u:q a:y");
}

#[test]
fn every_kind_of_file_gives_the_same_rows() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<Value> =
        (0..5).map(|n| json!({"prompt": format!("q, \"{n}\"\nß"), "chosen": "y", "rejected": "n"})).collect();
    let jsonl: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let mut csv = String::from("prompt,chosen,rejected\n");
    for row in &rows {
        let prompt = row["prompt"].as_str().unwrap().replace('"', "\"\"");
        csv.push_str(&format!("\"{prompt}\",y,n\n"));
    }
    let texts = [
        ("rows.jsonl", format!("\u{feff}\n{}", jsonl.replace('\n', "\r\n"))),
        ("rows.json", format!("{:#}", Value::Array(rows.clone()))),
        ("lines.json", jsonl.clone()),
        ("rows.csv", csv.clone()),
    ];
    let expected: Vec<String> = (0..5).map(|n| format!("u:q, \"{n}\"\nß > a:y | a:n")).collect();
    let check = |path: PathBuf| {
        let mut spec = spec(&[&path]);
        let read = read_rows(&spec, Need::Preference, &mut Ledger::new()).unwrap();
        assert_eq!(read.iter().map(told).collect::<Vec<_>>(), expected, "{}", path.display());
        assert_eq!(read.iter().map(|row| row.origin.row).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        spec.limit = Some(2);
        assert_eq!(read_rows(&spec, Need::Preference, &mut Ledger::new()).unwrap().len(), 2);
    };
    for (name, text) in texts {
        let path = folder.path().join(name);
        fs::write(&path, &text).unwrap();
        check(path);
        let path = folder.path().join(format!("{name}.gz"));
        let file = fs::File::create(&path).unwrap();
        let mut gzip = flate2::write::GzEncoder::new(file, flate2::Compression::default());
        gzip.write_all(text.as_bytes()).unwrap();
        gzip.finish().unwrap();
        check(path);
        let path = folder.path().join(format!("{name}.zst"));
        fs::write(&path, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
        check(path);
    }
}

/// `tests/data/files/valid/preference.parquet` was written by pyarrow 26.0.1 (zstd).
#[test]
fn parquet_rows_are_read() {
    let path = tests("data/files/valid/preference.parquet");
    let folder = tempfile::tempdir().unwrap();
    let packed = folder.path().join("rows.parquet.gz");
    let mut gzip =
        flate2::write::GzEncoder::new(fs::File::create(&packed).unwrap(), flate2::Compression::fast());
    gzip.write_all(&fs::read(&path).unwrap()).unwrap();
    gzip.finish().unwrap();
    for path in [path, packed] {
        let rows = read_rows(&spec(&[&path]), Need::Preference, &mut Ledger::new()).unwrap();
        assert_eq!(told(&rows[0]), "u:Which fruit is yellow? > a:A banana. | a:A brick.");
        assert_eq!(told(&rows[1]), "s:Be brief. u:Und rot? > a:Äpfel 🍎 | a:Nichts.");
        assert_eq!((rows[0].margin, rows[1].margin), (Some(0.5), None));
        assert_eq!((rows[0].origin.line, rows[1].origin.line), (1, 2));
    }
}

/// JSON of any shape, under keys that formats look for.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,6}".prop_map(Value::from),
        prop_oneof!["user", "assistant", "gpt", "human", "\n\nHuman: a\n\nAssistant: b"]
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let key = prop_oneof![
            "role",
            "content",
            "from",
            "value",
            "prompt",
            "chosen",
            "rejected",
            "messages",
            "conversations",
            "completion",
            "rejected_response",
            "query",
            "response",
            "history",
            "instruction",
            "output",
            "tools",
            "margin",
            "label",
            "kto_tag",
            "x"
        ];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
            prop::collection::vec((key, inner), 0..5).prop_map(|pairs| pairs.into_iter().collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A row is read, or something is said of it; schema and reader agree on its types.
    #[test]
    fn any_row_is_answered_for(row in any_json()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        fs::write(&path, row.to_string()).unwrap();
        let unpaired = [true, false].map(|unpair| Need::Unpaired { unpair });
        for need in [Need::Sft, Need::Preference, Need::Prompt].into_iter().chain(unpaired) {
            let mut ledger = Ledger::new();
            match read_rows(&DataSpec { max_bad_rows: 1, ..spec(&[&path]) }, need, &mut ledger) {
                Ok(rows) => {
                    let places: BTreeSet<usize> = rows.iter().map(|row| row.origin.row).collect();
                    prop_assert_eq!(places.len() + ledger.entries().len(), 1);
                }
                Err(error) => prop_assert!(!error.to_string().is_empty()),
            }
        }
    }

    /// Bytes of any kind, in a file of any kind, never panic.
    #[test]
    fn any_bytes_are_answered_for(bytes in prop::collection::vec(any::<u8>(), 0..200), kind in 0usize..8) {
        let kinds = ["jsonl", "json", "csv", "parquet", "jsonl.gz", "json.zst", "csv.gz", "parquet.zst"];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("rows.{}", kinds[kind]));
        fs::write(&path, bytes).unwrap();
        let read = read_rows(&DataSpec { max_bad_rows: 1000, ..spec(&[&path]) }, Need::Sft, &mut Ledger::new());
        prop_assert!(read.is_err());
    }
}
