//! One row, one meaning in every kind of file; and where a row is said to stand.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use runner::data::Need;

use super::helper::{Outcome, plain};

/// A `.parquet` file of columns of text.
fn write_parquet(path: &Path, columns: &[(&str, &[&str])]) {
    let fields: String = columns.iter().map(|(name, _)| format!("required binary {name} (UTF8);")).collect();
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {fields} }}")).unwrap());
    let file = fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, schema, Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    for (_, texts) in columns {
        let values: Vec<ByteArray> = texts.iter().map(|text| ByteArray::from(*text)).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&values, None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
}

fn read(name: &str, text: &str, need: Need) -> Outcome {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, text).unwrap();
    plain().file(&path, need)
}

fn lines(outcome: &Outcome) -> Vec<usize> {
    outcome.rows.iter().map(|row| row.origin.line).collect()
}

#[test]
fn messages_as_json_text_are_read_from_every_kind_of_file() {
    let turns = r#"[{"role": "user", "content": "q"}, {"role": "assistant", "content": "y"}]"#;
    let calls = r#"[{"from": "human", "value": "q"}, {"from": "gpt", "value": "y, \"z\""}]"#;
    let told = ["u:q a:y", "u:q a:y, \"z\""];
    let folder = tempfile::tempdir().unwrap();
    let parquet = folder.path().join("rows.parquet");
    write_parquet(&parquet, &[("messages", &[turns, calls])]);
    assert_eq!(plain().file(&parquet, Need::Sft).told(), told);
    let jsonl: String =
        [turns, calls].iter().map(|text| format!("{}\n", serde_json::json!({ "messages": text }))).collect();
    assert_eq!(read("rows.jsonl", &jsonl, Need::Sft).told(), told);
    let cell = |text: &str| format!("\"{}\"\n", text.replace('"', "\"\""));
    assert_eq!(
        read("rows.csv", &format!("messages\n{}{}", cell(turns), cell(calls)), Need::Sft).told(),
        told
    );
    let pairs = r#"{"prompt": "[{\"role\": \"user\", \"content\": \"q\"}]", "chosen": "{\"role\": \"assistant\", \"content\": \"y\"}", "rejected": "[1, 2]"}"#;
    assert_eq!(read("pairs.jsonl", pairs, Need::Preference).told(), ["u:q > a:y | a:[1, 2]"]);
}

#[test]
fn text_that_is_python_s_or_no_json_is_refused() {
    let python = "messages\n\"[{'role': 'user', 'content': 'q'}, {'role': 'assistant', 'content': 'y'}]\"\n";
    let error = read("rows.csv", python, Need::Sft).error.unwrap();
    assert!(error.contains("wrong type at /messages: \"[{'role': 'user'"), "{error}");
    assert!(error.contains("accepted: a list, or its text as JSON"), "{error}");
    let prompt = "prompt,completion\n\"[{'role': 'user', 'content': 'q'}]\",y\n";
    let error = read("rows.csv", prompt, Need::Sft).error.unwrap();
    assert!(error.contains("json.dumps"), "{error}");
}

#[test]
fn a_line_is_the_file_s_own() {
    let row = |prompt: &str| format!("{{\"prompt\": \"{prompt}\",\n  \"completion\": \"y\"}}");
    let json = format!("[\n\n{},\n{},   {}\n,\n{}]", row("a"), row("b"), row("c"), row("d"));
    assert_eq!(lines(&read("rows.json", &json, Need::Sft)), [3, 5, 6, 9]);
    for end in ["\n", "\r\n"] {
        let csv = ["prompt,completion", "", "\"a", "b\",y", "", "c,y", "", "", "d,y"].join(end);
        let read = read("rows.csv", &csv, Need::Sft);
        assert_eq!(read.told()[1..], ["u:c > a:y", "u:d > a:y"]);
        assert_eq!(lines(&read), [3, 6, 9], "{end:?}");
        let short = ["prompt,completion", "a,y", "", "\"b", "b\"", "c,y"].join(end);
        let short = super::places::read("rows.csv", &short, Need::Sft);
        assert_eq!(
            short.refused,
            ["`rows.csv` line 4: not a CSV record: 1 cells under a header of 2"],
            "{end:?}"
        );
    }
    let jsonl = "\n{\"prompt\": \"a\", \"completion\": \"y\"}\n\n{\"prompt\": 3, \"completion\": \"y\"}\n";
    let read = read("rows.jsonl", jsonl, Need::Sft);
    assert_eq!(lines(&read), [2]);
    assert_eq!(
        read.refused,
        ["`rows.jsonl` line 4: wrong type at /prompt: 3; accepted: text, a list or an object"]
    );
}

#[test]
fn rows_of_parquet_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    write_parquet(&path, &[("prompt", &["q", ""]), ("completion", &["y", "y"])]);
    let read = plain().file(&path, Need::Sft);
    assert_eq!(read.refused, ["`rows.parquet` row 2: empty prompt"]);
}

/// A table without any value in a cell says as much as no cell.
#[test]
fn empty_cells_are_no_values() {
    let csv = "prompt,completion,system,history,tools,margin,id\nq,y,,,,,1\nq,,s,,,,\n";
    let read = read("rows.csv", csv, Need::Sft);
    assert_eq!(read.told(), ["u:q > a:y"]);
    assert_eq!(read.refused, ["`rows.csv` line 3: empty answer"]);
    assert_eq!(read.warnings, ["`rows.csv`: nothing reads `/id`"]);
}
