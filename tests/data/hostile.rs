//! Files of a model that are broken, or made to do harm: each is read or refused by name. `PROPTEST_CASES` says
//! how many are made up.

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use runner::data::Tokenizer;
use runner::model::config::Config;
use runner::model::folder::ModelFolder;
use runner::model::tuner::adapter::Adapter;
use serde_json::{Value, json};

use crate::helper::golden;

fn cases(usual: u32) -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig::with_cases(cases.unwrap_or(usual))
}

/// A copy of a golden model's folder.
fn copied(model: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(golden("models").join(model)).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    folder
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// The tokenizer of a folder whose `tokenizer.json` is changed, put to use.
fn tokenised(change: impl FnOnce(&mut Value)) -> Result<Vec<u32>, String> {
    let folder = copied("llama3");
    let path = folder.path().join("tokenizer.json");
    let mut tokenizer = json_of(&path);
    change(&mut tokenizer);
    fs::write(&path, tokenizer.to_string()).unwrap();
    let text = "Hello  wörld, 茶 1234\n<|eot_id|> aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
    let ids = Tokenizer::from_folder(folder.path()).and_then(|tokenizer| {
        let ids = tokenizer.encode_with_offsets(text)?.ids;
        tokenizer.decode(&ids)?;
        tokenizer.embedding_rows();
        Ok(ids)
    });
    ids.map_err(|error| format!("{error:#}"))
}

#[test]
fn a_tokenizer_draws_no_lots() {
    let plain = tokenised(|_| {}).unwrap();
    for _ in 0..3 {
        assert_eq!(tokenised(|json| json["model"]["dropout"] = json!(0.5)).unwrap(), plain);
    }
}

#[test]
fn a_part_of_a_tokenizer_that_its_library_panics_over_is_an_error() {
    let error = tokenised(|json| {
        json["normalizer"] = json!({"type": "Replace", "pattern": {"String": ""}, "content": "e"});
    });
    let error = error.unwrap_err();
    assert!(error.contains("tokenizer.json` cannot be used"), "{error}");
    let regex = |pattern: &str| json!({"Regex": pattern});
    for (part, value) in [
        ("normalizer", json!({"type": "Replace", "pattern": regex(""), "content": ""})),
        ("normalizer", json!({"type": "Replace", "pattern": regex("("), "content": ""})),
        ("normalizer", json!({"type": "Replace", "pattern": regex("(a*)*b"), "content": ""})),
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        ("normalizer", json!({"type": "Prepend", "prepend": ""})),
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": {"String": ""}, "behavior": "Isolated", "invert": false}),
        ),
        (
            "pre_tokenizer",
            json!({"type": "Split", "pattern": regex("(?=x)*"), "behavior": "Isolated", "invert": true}),
        ),
        ("pre_tokenizer", json!({"type": "CharDelimiterSplit", "delimiter": "xx"})),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
        ("decoder", json!({"type": "Strip", "content": "a", "start": u64::MAX, "stop": u64::MAX})),
        ("decoder", json!({"type": "ByteFallback"})),
        ("decoder", json!({"type": "Replace", "pattern": {"String": ""}, "content": "x"})),
        (
            "post_processor",
            json!({
                "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "none", "type_id": 0}}], "pair": [],
                "special_tokens": {}
            }),
        ),
        (
            "truncation",
            json!({"direction": "Right", "max_length": 0, "strategy": "LongestFirst", "stride": 9}),
        ),
        (
            "padding",
            json!({
                "strategy": {"Fixed": u64::MAX}, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 0,
                "pad_type_id": 0, "pad_token": "x"
            }),
        ),
    ] {
        if let Err(error) = tokenised(|json| json[part] = value.clone()) {
            assert!(error.contains("tokeni"), "{part} {value}: {error}");
        }
    }
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        let folder = copied("llama3");
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen('{', "{\"twin\": 1, \"twin\": 2, ", 1)).unwrap();
        let model = Config::read(folder.path()).err().map(|error| format!("{error:#}"));
        let tokenizer = Tokenizer::from_folder(folder.path()).err().map(|error| format!("{error:#}"));
        let told = model.or(tokenizer).unwrap();
        assert!(told.contains("the key `twin` twice") && told.contains(file), "{told}");
    }
}

/// Where a value may be put in a JSON text: pointers to all values but those in tables of many.
fn places(json: &Value, at: &str, all: &mut Vec<String>) {
    all.push(at.to_owned());
    match json {
        Value::Object(map) if map.len() < 60 => {
            map.iter().for_each(|(key, value)| places(value, &format!("{at}/{key}"), all));
        }
        Value::Array(items) => {
            items.iter().take(4).enumerate().for_each(|(i, value)| places(value, &format!("{at}/{i}"), all));
        }
        _ => {}
    }
}

fn changed(json: &Value, place: prop::sample::Index, value: Value) -> Value {
    let mut all = Vec::new();
    places(json, "", &mut all);
    let mut changed = json.clone();
    let place: &String = place.get(&all);
    *changed.pointer_mut(place).unwrap() = value;
    changed
}

fn odd() -> impl Strategy<Value = Value> {
    let values = vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(3),
        json!(-1),
        json!(1u64 << 31),
        json!(1u64 << 40),
        json!(1u64 << 62),
        json!(u64::MAX),
        json!(-1.5),
        json!(1e308),
        json!(""),
        json!("x"),
        json!("("),
        json!([]),
        json!([null]),
        json!([[1, 2]]),
        json!(["x", "y"]),
        json!({}),
        json!({"type": "x"}),
        json!({"String": ""}),
    ];
    prop::sample::select(values)
}

type Change = (prop::sample::Index, Value);

fn changes() -> impl Strategy<Value = Vec<Change>> {
    prop::collection::vec((any::<prop::sample::Index>(), odd()), 1..3)
}

fn all_changed(json: Value, changes: Vec<Change>) -> Value {
    changes.into_iter().fold(json, |json, (place, value)| changed(&json, place, value))
}

fn in_folder(model: &str, file: &str, changes: Vec<Change>) -> (tempfile::TempDir, PathBuf) {
    let folder = copied(model);
    let path = folder.path().join(file);
    fs::write(&path, all_changed(json_of(&path), changes).to_string()).unwrap();
    (folder, path)
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn any_config_is_answered_for(changes in changes(), model in prop::sample::select(vec!["llama3", "qwen2", "qwen3", "mistral"])) {
        let (folder, _) = in_folder(model, "config.json", changes);
        if let Err(error) = ModelFolder::open(folder.path()) {
            prop_assert!(!error.to_string().is_empty());
        }
        if let Ok(config) = Config::read(folder.path()) {
            prop_assert!(config.parameters() >= config.trunk_weights());
        }
    }

    #[test]
    fn any_tokenizer_is_answered_for(changes in changes()) {
        if let Err(error) = tokenised(|json| *json = all_changed(json.clone(), changes)) {
            prop_assert!(!error.is_empty());
        }
    }

    #[test]
    fn any_adapter_is_answered_for(changes in changes()) {
        let from = golden("traces/dpo_aot_unpaired/init_adapter");
        let folder = tempfile::tempdir().unwrap();
        fs::copy(from.join("adapter_model.safetensors"), folder.path().join("adapter_model.safetensors")).unwrap();
        let config = all_changed(json_of(&from.join("adapter_config.json")), changes);
        fs::write(folder.path().join("adapter_config.json"), config.to_string()).unwrap();
        let model = Config::read(&golden("models/llama3")).unwrap();
        let places = Adapter::open(folder.path()).and_then(|adapter| adapter.places(&model, true));
        match places {
            Ok(places) => prop_assert!(places.trainable(&model) > 0),
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_header_of_weights_is_answered_for(changes in changes(), length in prop::option::of(any::<u64>())) {
        let folder = copied("llama3");
        let path = folder.path().join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = all_changed(serde_json::from_slice(&bytes[8..end]).unwrap(), changes).to_string();
        let length = length.unwrap_or(header.len() as u64).to_le_bytes();
        fs::write(&path, [&length[..], header.as_bytes(), &bytes[end..]].concat()).unwrap();
        if let Err(error) = ModelFolder::open(folder.path()) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
