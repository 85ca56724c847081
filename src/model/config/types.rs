//! Types of keys that the decoder does not follow: transformers does not load a `config.json`, nor a result
//! that has it, where one is of another type.

use serde_json::Value;

use super::keys::Keys;
use crate::model::spec::Architecture;

/// A key, what it must be, whether a value is that, and what transformers takes without it.
type Typed = (&'static str, &'static str, fn(&Value) -> bool, &'static str);

const TYPED: [Typed; 5] = [
    ("use_cache", "true or false", Value::is_boolean, "true"),
    ("max_position_embeddings", "a whole number", is_whole, "that of the family"),
    ("attention_dropout", "a number", |value| value.is_number() || value.is_null(), "0"),
    ("num_labels", "a whole number", is_whole, "2"),
    ("id2label", "a table of labels by their ids", |value| value.is_object() || value.is_null(), "null"),
];

const OF_LLAMA: Typed =
    ("pretraining_tp", "a whole number or null", |value| is_whole(value) || value.is_null(), "1");

fn is_whole(value: &Value) -> bool {
    value.is_i64() || value.is_u64()
}

/// Notes every key whose value is of another type.
pub fn check(keys: &mut Keys, architecture: Architecture) {
    let of_family = (architecture == Architecture::Llama).then_some(OF_LLAMA);
    for (key, expected, is_right, default) in TYPED.into_iter().chain(of_family) {
        if keys.get(key).is_some_and(|value| !is_right(value)) {
            keys.wrong(key, expected, Some(default.to_owned()));
        }
    }
}
