//! Rows with labels, prompts, and the data sets that are known by name.

use std::fs;
use std::path::Path;

use runner::data::hub::{self, RepoKind};
use runner::data::named::{Named, named, names};
use runner::data::spec::{DataSpec, Format};
use runner::data::{Ledger, Need, read_rows, row_schema};
use serde_json::{Value, json};

use super::helper::{spec, told};

const LABELLED: Need = Need::Unpaired { unpair: false };
const PAIRS: Need = Need::Unpaired { unpair: true };

fn read_as(rows: &[Value], need: Need, format: Option<Format>) -> Result<Vec<String>, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
    match read_rows(&DataSpec { format, ..spec(&[&path]) }, need, &mut Ledger::new()) {
        Ok(rows) => Ok(rows.iter().map(told).collect()),
        Err(error) => Err(format!("{error:#}").replace(&path.display().to_string(), "FILE")),
    }
}

fn read(row: &Value, need: Need) -> Result<Vec<String>, String> {
    read_as(std::slice::from_ref(row), need, None)
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

/// Rows with a label, what a kto stage reads, what a ppo stage reads.
fn labelled() -> Vec<(Value, &'static str, &'static str)> {
    let conversation = json!([{"from": "human", "value": "q"}, {"from": "gpt", "value": "y"}]);
    vec![
        (json!({"prompt": "q", "completion": "y", "label": true}), "u:q > a:y +", "u:q > "),
        (
            json!({"prompt": [user("q")], "completion": [assistant("y")], "label": false}),
            "u:q > a:y -",
            "u:q > ",
        ),
        (
            json!({"prompt": "q", "completion": "y", "label": 0, "system": "s"}),
            "s:s u:q > a:y -",
            "s:s u:q > ",
        ),
        (json!({"prompt": "q", "completion": "y", "label": "True"}), "u:q > a:y +", "u:q > "),
        // Earlier answers are part of the prompt; what follows the last answer is nothing to train.
        (
            json!({"messages": [user("p"), assistant("x"), user("q"), assistant("y")], "label": true}),
            "u:p a:x u:q > a:y +",
            "u:p a:x u:q > ",
        ),
        (
            json!({"messages": [user("p"), assistant("y"), user("q")], "label": false}),
            "u:p > a:y -",
            "u:p a:y u:q > ",
        ),
        (json!({"messages": conversation, "kto_tag": true}), "u:q > a:y +", "u:q > "),
        (json!({"conversations": conversation, "kto_tag": false}), "u:q > a:y -", "u:q > "),
        (json!({"conversations": conversation, "label": true}), "u:q > a:y +", "u:q > "),
        (
            json!({"instruction": "q", "input": "i", "output": "y", "kto_tag": true}),
            "u:q\ni > a:y +",
            "u:q\ni > ",
        ),
        (
            json!({"query": "q", "response": "y", "history": [["a", "b"]], "label": false}),
            "u:a a:b u:q > a:y -",
            "u:a a:b u:q > ",
        ),
    ]
}

#[test]
fn labelled_rows_read_in_every_format() {
    let schema = jsonschema::draft7::new(&row_schema::unpaired()).unwrap();
    for (row, kto, ppo) in labelled() {
        assert_eq!(read(&row, LABELLED), Ok(vec![kto.to_owned()]), "{row}");
        assert_eq!(
            read_as(std::slice::from_ref(&row), LABELLED, Some(Format::Unpaired)),
            Ok(vec![kto.to_owned()])
        );
        assert_eq!(read(&row, Need::Prompt), Ok(vec![ppo.to_owned()]), "{row}");
        assert!(schema.is_valid(&row), "{row}");
        let mut bare = row.clone();
        bare.as_object_mut().unwrap().retain(|key, _| key != "label" && key != "kto_tag");
        assert!(!schema.is_valid(&bare), "{bare}");
        assert!(read(&bare, LABELLED).unwrap_err().contains("expected `prompt`, `completion` and `label`"));
    }
}

/// Without a `format` an sft stage takes labelled rows for its own; the bad answers are dropped.
#[test]
fn sft_imitates_no_answer_that_is_labelled_bad() {
    let rows = [true, false].map(|label| json!({"prompt": "q", "completion": "y", "label": label}));
    assert_eq!(read_as(&rows, Need::Sft, None), Ok(vec!["u:q > a:y".to_owned()]));
    assert_eq!(
        read(&rows[1], Need::Sft),
        Err("data `rows`: none of 1 rows can be used (undesirable answer: 1); the first, `FILE` line 1: undesirable \
             answer"
            .to_owned())
    );
}

#[test]
fn labels_of_a_table_of_text_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    fs::write(&path, "question,completion,good\nq,y,True\nq,n,0\nq,m,false\n").unwrap();
    let mut spec = spec(&[path]);
    spec.columns = [("prompt", "question"), ("label", "good")]
        .map(|(ours, theirs)| (ours.to_owned(), theirs.to_owned()))
        .into_iter()
        .collect();
    let rows = read_rows(&spec, LABELLED, &mut Ledger::new()).unwrap();
    assert_eq!(rows.iter().map(told).collect::<Vec<_>>(), ["u:q > a:y +", "u:q > a:n -", "u:q > a:m -"]);
}

#[test]
fn pairs_are_unpaired_only_if_asked() {
    let pairs = [
        json!({"prompt": "q", "chosen": "y", "rejected": "n", "margin": 1.5}),
        json!({"prompt": "r", "chosen": "z", "rejected": "m"}),
    ];
    // As TRL unpairs: all chosen answers, then all rejected ones.
    let rows = ["u:q > a:y +", "u:r > a:z +", "u:q > a:n -", "u:r > a:m -"].map(str::to_owned);
    assert_eq!(read_as(&pairs, PAIRS, None), Ok(rows.to_vec()));
    let advice = "data `rows` has pairs; add `unpair = true` to the stage to use each answer as a row";
    assert_eq!(read_as(&pairs, LABELLED, None), Err(advice.to_owned()));
    assert_eq!(read_as(&pairs, LABELLED, Some(Format::Preference)), Err(advice.to_owned()));
    let label = json!({"prompt": "q", "completion": "y", "label": true});
    assert_eq!(
        read(&label, PAIRS),
        Err("data `rows` has one labelled answer a row; take `unpair = true` from the stage".to_owned())
    );
}

#[test]
fn two_rows_of_a_pair_have_its_index_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, "{\"prompt\":\"q\",\"chosen\":\"y\",\"rejected\":\"n\"}\n".repeat(2)).unwrap();
    let rows = read_rows(&spec(&[path]), PAIRS, &mut Ledger::new()).unwrap();
    let places: Vec<_> = rows.iter().map(|row| (row.origin.row, row.origin.line, row.label)).collect();
    assert_eq!(places, [(0, 1, Some(true)), (1, 2, Some(true)), (0, 1, Some(false)), (1, 2, Some(false))]);
}

#[test]
fn prompts_come_from_rows_of_any_format() {
    let schema = jsonschema::draft7::new(&row_schema::prompt()).unwrap();
    let transcript = "\n\nHuman: p\n\nAssistant: x\n\nHuman: q\n\nAssistant: ";
    for (row, expected) in [
        (json!({"prompt": "q"}), "u:q > "),
        (json!({"prompt": "q", "system": "s"}), "s:s u:q > "),
        (json!({"prompt": [user("p"), assistant("x"), user("q")]}), "u:p a:x u:q > "),
        (json!({"prompt": transcript}), "u:p a:x u:q > "),
        (json!({"prompt": "q", "chosen": "y", "rejected": "y"}), "u:q > "),
        (json!({"chosen": format!("{transcript}y"), "rejected": format!("{transcript}n")}), "u:p a:x u:q > "),
        (json!({"messages": [user("q"), assistant("y")], "rejected_response": "n"}), "u:q > "),
        (json!({"messages": [user("q")]}), "u:q > "),
        (json!({"instruction": "q", "output": ""}), "u:q > "),
        (json!({"query": "q", "response": "y"}), "u:q > "),
    ] {
        assert_eq!(read(&row, Need::Prompt), Ok(vec![expected.to_owned()]), "{row}");
        assert!(schema.is_valid(&row), "{row}");
    }
    assert!(!schema.is_valid(&json!({"text": "q"})));
    let equal = [json!({"prompt": "q"}), json!({"prompt": "q"})];
    assert_eq!(read_as(&equal, Need::Prompt, Some(Format::Prompt)).unwrap().len(), 2);
}

/// A repository in a cache: its files under the snapshot that `refs/main` names.
fn put(cache: &Path, repo: &str, files: &[(&str, String)]) {
    let folder = cache.join(format!("datasets--{}", repo.replace('/', "--")));
    fs::create_dir_all(folder.join("refs")).unwrap();
    fs::write(folder.join("refs/main"), "0a1b2c\n").unwrap();
    fs::create_dir_all(folder.join("snapshots/other")).unwrap();
    for (name, text) in files {
        let path = folder.join("snapshots/0a1b2c").join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

/// What a kind reads of a named data set in `cache`, as a recipe without format or columns would.
fn read_named(set: &Named, cache: &Path, need: Need) -> Vec<String> {
    let mut spec = DataSpec { format: Some(set.format), ..spec(&set.cached_in(cache).unwrap()) };
    let own = |(ours, theirs): &(&str, &str)| ((*ours).to_owned(), (*theirs).to_owned());
    spec.columns = set.columns.iter().map(own).collect();
    read_rows(&spec, need, &mut Ledger::new()).unwrap().iter().map(told).collect()
}

/// Made-up rows of the shapes that the data sets have.
#[test]
fn named_data_sets_read_without_configuration() {
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path();
    let emoji = json!({"question": "How are you?", "answer_zh": "😀 好", "answer_en": "Fine."});
    put(cache, "shareAI/DPO-zh-en-emoji", &[("emoji.jsonl", emoji.to_string())]);
    let set = named("shareai-llama3-dpo-zh-en-emoji").unwrap();
    assert_eq!(read_named(set, cache, Need::Preference), ["u:How are you? > a:😀 好 | a:Fine."]);

    let harmless = json!({
        "context": [{"role": "human", "text": "问"}, {"role": "assistant", "text": "答"}, {"role": "human", "text": "再问"}],
        "chosen": {"role": "assistant", "text": "好"},
        "rejected": {"role": "assistant", "text": "坏"},
    });
    let other = json!({"context": [], "chosen": {}, "rejected": {}}).to_string();
    let files = [
        ("harmless_base_cn_train.jsonl", harmless.to_string()),
        ("harmless_base_cn_test.jsonl", other.clone()),
        ("helpful_base_cn_train.jsonl", other),
    ];
    put(cache, "AI-ModelScope/hh_rlhf_cn", &files);
    let set = named("hh-rlhf-cn-harmless-base-cn").unwrap();
    assert_eq!(read_named(set, cache, Need::Preference), ["u:问 a:答 u:再问 > a:好 | a:坏"]);

    let rated = [true, false]
        .map(|label| format!("{}\n", json!({"prompt": "q", "completion": "y", "label": label})))
        .concat();
    let repo = "argilla/ultrafeedback-binarized-preferences-cleaned-kto";
    put(cache, repo, &[("train.jsonl", rated)]);
    let set = named("ultrafeedback-kto").unwrap();
    assert_eq!(read_named(set, cache, LABELLED), ["u:q > a:y +", "u:q > a:y -"]);
    assert_eq!(names().filter(|name| named(name).is_some()).count(), 3);
    assert_eq!(named("ultrafeedback"), None);
}

#[test]
fn a_wrong_type_in_a_named_data_set_is_told_by_its_own_columns() {
    let cache = tempfile::tempdir().unwrap();
    let row = json!({"context": [{"role": "human", "text": 5}], "chosen": {"text": "y"}, "rejected": {"text": "n"}});
    put(cache.path(), "dikw/hh_rlhf_cn", &[("harmless_base_cn_train.jsonl", row.to_string())]);
    let set = named("hh-rlhf-cn-harmless-base-cn").unwrap();
    let mut spec = spec(&set.cached_in(cache.path()).unwrap());
    spec.columns = set.columns.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let error = read_rows(&spec, Need::Preference, &mut Ledger::new()).unwrap_err().to_string();
    assert!(error.ends_with("line 1: wrong type at /context/0/text: 5; accepted: text"), "{error}");
}

#[test]
fn a_repository_s_files_are_those_asked_for_or_its_training_rows() {
    let cache = tempfile::tempdir().unwrap();
    let files =
        ["README.md", "data/test-0.parquet", "data/train-1.parquet", "data/train-0.parquet", "a.jsonl"];
    put(cache.path(), "org/split", &files.map(|name| (name, String::new())));
    put(cache.path(), "org/plain", &["info.txt", "b.csv", "a.jsonl.gz"].map(|name| (name, String::new())));
    let found = |repo: &str, patterns: &[&str]| -> Vec<String> {
        let files = hub::cached_in(cache.path(), repo, RepoKind::Dataset, patterns).unwrap();
        let within = cache.path().join(format!("datasets--{}/snapshots/0a1b2c", repo.replace('/', "--")));
        files.iter().map(|file| file.strip_prefix(&within).unwrap().display().to_string()).collect()
    };
    assert_eq!(found("org/split", &[]), ["data/train-0.parquet", "data/train-1.parquet"]);
    assert_eq!(found("org/plain", &[]), ["a.jsonl.gz", "b.csv"]);
    assert_eq!(
        found("org/split", &["a.jsonl", "data/*-0.parquet", "**/test*"]),
        ["a.jsonl", "data/test-0.parquet", "data/train-0.parquet"]
    );
    let error = hub::cached_in(cache.path(), "org/plain", RepoKind::Dataset, &["*.parquet"]).unwrap_err();
    assert!(error.to_string().ends_with("matches `*.parquet`"), "{error}");
}

#[test]
fn what_is_not_in_the_cache_is_told_with_the_command_that_gets_it() {
    let cache = tempfile::tempdir().unwrap();
    let at = cache.path().display();
    let error = named("ultrafeedback-kto").unwrap().cached_in(cache.path()).unwrap_err();
    let repo = "argilla/ultrafeedback-binarized-preferences-cleaned-kto";
    assert_eq!(
        error.to_string(),
        format!(
            "`{repo}` is not in the Hugging Face cache `{at}`; get it with `hf download --repo-type dataset {repo}`"
        )
    );
    let model = hub::snapshot(cache.path(), "org/name", RepoKind::Model).unwrap_err();
    assert_eq!(
        model.to_string(),
        format!("`org/name` is not in the Hugging Face cache `{at}`; get it with `hf download org/name`")
    );
    let wrong = hub::snapshot(cache.path(), "../name", RepoKind::Model).unwrap_err();
    assert!(wrong.to_string().ends_with("expected `ORG/NAME`"), "{wrong}");
    put(cache.path(), "shareAI/DPO-zh-en-emoji", &[("README.md", String::new())]);
    let error = named("shareai-llama3-dpo-zh-en-emoji").unwrap().cached_in(cache.path()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "`shareAI/DPO-zh-en-emoji`: no file matches `*.jsonl` or `*.json` or `**/*.parquet`"
    );
    let snapshot = hub::snapshot(cache.path(), "shareAI/DPO-zh-en-emoji", RepoKind::Dataset).unwrap();
    assert!(snapshot.ends_with("snapshots/0a1b2c"));
    assert_eq!(hub::matches(&snapshot, "*.md").unwrap(), [snapshot.join("README.md")]);
}
