//! Tokens and settings beside `tokenizer.json`: followed as transformers follows them, or refused by name.

use std::fs;

use runner::data::Tokenizer;
use serde_json::{Value, json};

use super::commands::{check, run};
use super::folder::Copy;

const TEXT: &str = "a <joy> b <woe> the <|im_end|> \nx <|eot_id|>";

/// A token with its flags.
fn token(text: &str) -> Value {
    json!({
        "content": text, "lstrip": false, "normalized": false, "rstrip": false, "single_word": false,
        "special": true,
    })
}

/// `added_tokens_decoder` with all that `tokenizer.json` has.
fn decoder(copy: &Copy) -> Value {
    let text = fs::read(copy.file("tokenizer.json")).unwrap();
    let tokenizer: Value = serde_json::from_slice(&text).unwrap();
    let tokens = tokenizer["added_tokens"].as_array().unwrap();
    tokens.iter().map(|added| (added["id"].to_string(), token(added["content"].as_str().unwrap()))).collect()
}

fn settings(copy: &Copy, keys: Value) {
    copy.json("tokenizer_config.json", |config| config.extend(keys.as_object().unwrap().clone()));
}

/// The ids of the text, by way of the tokens that are added.
fn ids(copy: &Copy) -> Vec<u32> {
    let tokenizer = Tokenizer::from_folder(&copy.path()).unwrap();
    tokenizer.encode_with_offsets(TEXT).unwrap().ids
}

fn told(copy: &Copy) -> String {
    format!("{:#}", Tokenizer::from_folder(&copy.path()).unwrap_err())
}

/// What is beside `tokenizer.json` of llama3, and where transformers 5.24 has `<joy>` and `<woe>`; `None`:
/// cut into pieces.
type Case = (&'static str, fn(&Copy), [Option<u32>; 2]);

const CASES: [Case; 13] = [
    ("nothing", |_| {}, [None, None]),
    (
        "decoder",
        |copy| {
            settings(
                copy,
                json!({ "added_tokens_decoder": { "512": token("<joy>"), "513": token("<woe>") } }),
            )
        },
        [Some(512), Some(513)],
    ),
    (
        "extra",
        |copy| settings(copy, json!({ "extra_special_tokens": ["<woe>", "<joy>"] })),
        [Some(513), Some(512)],
    ),
    (
        "additional",
        |copy| settings(copy, json!({ "additional_special_tokens": ["<joy>"] })),
        [Some(512), None],
    ),
    (
        "additional with flags",
        |copy| settings(copy, json!({ "additional_special_tokens": [token("<joy>")] })),
        [Some(512), None],
    ),
    (
        "table",
        |copy| settings(copy, json!({ "extra_special_tokens": { "joy": "<joy>" } })),
        [Some(512), None],
    ),
    (
        "table and list",
        |copy| {
            settings(copy, json!({ "extra_special_tokens": { "woe": "<woe>" } }));
            settings(copy, json!({ "additional_special_tokens": ["<joy>"] }));
        },
        [Some(513), Some(512)],
    ),
    (
        "added",
        |copy| copy.json("added_tokens.json", |map| map.extend(added(&[("<joy>", 512)]))),
        [Some(512), None],
    ),
    (
        "added and extra",
        |copy| {
            copy.json("added_tokens.json", |map| map.extend(added(&[("<joy>", 512)])));
            settings(copy, json!({ "extra_special_tokens": ["<woe>"] }));
        },
        [Some(512), Some(513)],
    ),
    (
        "map",
        |copy| {
            copy.json("special_tokens_map.json", |map| {
                map.insert("additional_special_tokens".to_owned(), json!(["<joy>"]));
            })
        },
        [Some(512), None],
    ),
    (
        "both",
        |copy| {
            settings(copy, json!({ "extra_special_tokens": ["<woe>"] }));
            copy.json("special_tokens_map.json", |map| {
                map.insert("extra_special_tokens".to_owned(), json!(["<joy>"]));
            });
        },
        [Some(513), Some(512)],
    ),
    (
        "map beside a decoder",
        |copy| {
            let decoder = decoder(copy);
            settings(copy, json!({ "added_tokens_decoder": decoder }));
            copy.json("special_tokens_map.json", |map| {
                map.insert("extra_special_tokens".to_owned(), json!(["<joy>"]));
            });
            copy.json("added_tokens.json", |map| map.extend(added(&[("<woe>", 512)])));
        },
        [None, None],
    ),
    ("a space first", |copy| settings(copy, json!({ "add_prefix_space": true })), [None, None]),
];

fn added(tokens: &[(&str, u32)]) -> serde_json::Map<String, Value> {
    tokens.iter().map(|(text, id)| ((*text).to_owned(), json!(id))).collect()
}

#[test]
fn tokens_of_other_files_have_the_ids_that_transformers_gives_them() {
    let plain = ids(&Copy::of("llama3"));
    for (name, change, wanted) in CASES {
        let copy = Copy::of("llama3");
        change(&copy);
        let tokenizer = Tokenizer::from_folder(&copy.path()).unwrap();
        assert_eq!(["<joy>", "<woe>"].map(|token| tokenizer.id(token)), wanted, "{name}");
        let found = ids(&copy);
        assert_eq!(found == plain, wanted == [None, None], "{name}: {found:?}");
        for id in wanted.into_iter().flatten() {
            assert!(found.contains(&id), "{name}: {found:?}");
        }
    }
}

#[test]
fn flags_of_the_settings_count() {
    // transformers 5.24, qwen3
    let plain = [64, 220, 27, 73, 78, 88, 29, 220, 65, 220, 27, 507, 68, 29, 261, 220, 510, 220, 198, 87];
    let stripped = [64, 220, 27, 73, 78, 88, 29, 220, 65, 220, 27, 507, 68, 29, 261, 220, 510, 87];
    let copy = Copy::of("qwen3");
    assert_eq!(ids(&copy)[..plain.len()], plain);
    let mut tokens = decoder(&copy);
    tokens["510"]["rstrip"] = json!(true);
    settings(&copy, json!({ "added_tokens_decoder": tokens }));
    assert_eq!(ids(&copy)[..stripped.len()], stripped);
    // The tokenizer of qwen2 is made anew, and not all of its flags count: they must agree.
    for change in [
        |tokens: &mut Value| tokens["509"]["rstrip"] = json!(true),
        |tokens: &mut Value| tokens["509"]["lstrip"] = json!(true),
    ] {
        let copy = Copy::of("qwen2");
        let mut tokens = decoder(&copy);
        settings(&copy, json!({ "added_tokens_decoder": tokens }));
        assert_eq!(ids(&copy)[..plain.len()], plain);
        change(&mut tokens);
        settings(&copy, json!({ "added_tokens_decoder": tokens }));
        let said = told(&copy);
        assert!(said.contains("tokenizer_config.json") && said.contains("flags of `<|im_start|>`"), "{said}");
    }
}

#[test]
fn settings_that_cut_texts_otherwise_are_refused_by_name() {
    type Case<'a> = (&'a str, fn(&Copy), &'a [&'a str]);
    let cases: [Case<'_>; 7] = [
        (
            "llama3",
            |copy| settings(copy, json!({ "split_special_tokens": true })),
            &["`split_special_tokens`"],
        ),
        ("qwen2", |copy| settings(copy, json!({ "add_prefix_space": true })), &["`add_prefix_space`"]),
        (
            "qwen3",
            |copy| settings(copy, json!({ "add_prefix_space": true, "tokenizer_class": "Qwen2Tokenizer" })),
            &["`add_prefix_space`"],
        ),
        (
            "qwen2",
            |copy| settings(copy, json!({ "added_tokens_decoder": { "512": token("<joy>") } })),
            &["`added_tokens_decoder`", "lacks `<|im_start|>` (509)"],
        ),
        (
            "llama3",
            |copy| settings(copy, json!({ "added_tokens_decoder": { "600": token("<joy>") } })),
            &["`added_tokens_decoder`", "gives `<joy>` the id 600", "512"],
        ),
        (
            "llama3",
            |copy| copy.json("added_tokens.json", |map| map.extend(added(&[("<joy>", 600)]))),
            &["added_tokens.json", "gives `<joy>` the id 600", "512"],
        ),
        (
            "llama3",
            |copy| settings(copy, json!({ "extra_special_tokens": "<joy>" })),
            &["`extra_special_tokens`", "neither a list nor a table"],
        ),
    ];
    for (model, change, says) in cases {
        let copy = Copy::of(model);
        change(&copy);
        let said = told(&copy);
        for words in [&["tokenizer", "model"], says].concat() {
            assert!(said.contains(words), "{words}: {said}");
        }
        for said in [check(&copy, "sft"), run(&copy, "sft")] {
            assert_eq!(said.code, Some(2), "{}", said.err);
        }
    }
    // A tokenizer that puts a space first is what the setting says.
    let copy = Copy::of("qwen2");
    settings(&copy, json!({ "add_prefix_space": true, "split_special_tokens": false }));
    copy.json("tokenizer.json", |tokenizer| tokenizer["pre_tokenizer"]["add_prefix_space"] = json!(true));
    assert_eq!(ids(&copy)[..2], [220, 64]);
}

#[test]
fn rows_with_an_added_token_that_has_no_row_are_refused() {
    let copy = Copy::of("llama3");
    settings(&copy, json!({ "extra_special_tokens": ["no"] }));
    for said in [check(&copy, "sft"), run(&copy, "sft")] {
        assert_eq!(said.code, Some(2), "{}", said.err);
        assert!(said.err.contains("token `no` (512)"), "{}", said.err);
    }
    // After a token that is missing the ids are not known.
    let copy = Copy::of("llama3");
    settings(&copy, json!({ "extra_special_tokens": ["no"], "sep_token": "<sep>" }));
    let said = check(&copy, "sft");
    assert_eq!(said.code, Some(2), "{}", said.err);
    assert!(said.err.contains("`no`") && said.err.contains("extra_special_tokens"), "{}", said.err);
}

/// What a result takes from the base, or is read from it, makes a stage run again.
#[test]
fn a_result_follows_the_files_beside_the_weights() {
    for file in ["generation_config.json", "added_tokens.json", "vocab.json", "merges.txt"] {
        let copy = Copy::of("qwen3");
        let _ = fs::remove_file(copy.file(file));
        assert_eq!(run(&copy, "sft").code, Some(0));
        let again = |copy: &Copy| {
            let said = run(copy, "sft");
            assert_eq!(said.code, Some(0), "{}", said.err);
            !format!("{}{}", said.out, said.err).contains("nothing to do")
        };
        assert!(!again(&copy));
        fs::write(copy.file(file), "{}").unwrap();
        assert!(again(&copy), "{file}");
        assert!(!again(&copy), "{file}");
    }
}
