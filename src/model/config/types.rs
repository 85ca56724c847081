//! Types of keys that the decoder does not follow: transformers does not load a `config.json`, nor a result
//! that has it, where one is of another type.

use serde_json::Value;

use super::keys::Keys;
use crate::model::arch::{Traits, TypedKey, is_whole};

const TYPED: [TypedKey; 5] = [
    ("use_cache", "true or false", Value::is_boolean, "true"),
    ("max_position_embeddings", "a whole number", is_whole, "that of the family"),
    ("attention_dropout", "a number", |value| value.is_number() || value.is_null(), "0"),
    ("num_labels", "a whole number", is_whole, "2"),
    ("id2label", "a table of labels by their ids", |value| value.is_object() || value.is_null(), "null"),
];

/// Notes every key whose value is of another type.
pub fn check(keys: &mut Keys, traits: &Traits) {
    for &(key, expected, is_right, default) in TYPED.iter().chain(traits.typed_keys) {
        if keys.get(key).is_some_and(|value| !is_right(value)) {
            keys.wrong(key, expected, Some(default.to_owned()));
        }
    }
}
