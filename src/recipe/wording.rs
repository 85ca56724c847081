//! The words of messages about keys, tables and types.

use serde_json::Value;

use super::document::{is_stage, join, segments};
use super::schema;
use super::suggest;
use crate::kinds::Kind;
use crate::kinds::facts::Losses;

/// What names of stages and data may be.
pub const TABLE_NAMES: &str = "names are letters, digits, `_` and `-`, and start with a letter or digit";
/// Kinds that a user may know from elsewhere and that this program does not have.
const LATER_KINDS: [&str; 3] = ["grpo", "rloo", "online_dpo"];
const RECIPE_NAMES: &str = "names are letters, digits, `.`, `_` and `-`, and start with a letter or digit";

/// What a message calls the value at `pointer`: its key, or what list it is in.
pub fn subject(pointer: &str) -> String {
    let parts: Vec<String> = segments(pointer).collect();
    match parts.as_slice() {
        [] => "the recipe".to_owned(),
        [stage, _] if stage == "stage" => "an entry of `stage`".to_owned(),
        [.., list, index] if index.parse::<usize>().is_ok() => format!("an entry of `{list}`"),
        [.., key] => shown_text(key),
    }
}

/// What a message calls the table at `pointer`.
pub fn table(pointer: &str) -> String {
    let parts: Vec<String> = segments(pointer).collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [] => "the recipe".to_owned(),
        ["stage", _] => "`[[stage]]`".to_owned(),
        ["stage", _, rest @ ..] | ["defaults", rest @ ..] if !rest.is_empty() => {
            format!("`{}`", rest.join("."))
        }
        [.., "columns"] => "`columns`".to_owned(),
        ["data", _, "roles"] => "`roles`".to_owned(),
        _ => shown_text(&format!("[{}]", parts.join("."))),
    }
}

/// A value's type, for "not a …".
pub fn a_type(value: &Value) -> String {
    match value {
        Value::Null => "nothing".to_owned(),
        Value::Bool(yes) => format!("`{yes}`"),
        Value::Number(number) => format!("the number `{number}`"),
        Value::String(text) => format!("the string {}", shown_text(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
    }
}

/// The type that a schema wants, for "must be …".
pub fn type_wanted(schema: &Value) -> &'static str {
    match schema["type"].as_str() {
        Some("object") => "a table",
        Some("array") => "a list",
        Some("integer") => "an integer",
        Some("number") => "a number",
        Some("boolean") => "`true` or `false`",
        _ => "a string",
    }
}

/// Whether a form of a value is of the value's own type.
pub fn takes(form: &Value, value: &Value) -> bool {
    let wanted = type_wanted(form);
    match value {
        Value::String(_) => wanted == "a string",
        Value::Array(_) => wanted == "a list",
        Value::Object(_) => wanted == "a table",
        _ => false,
    }
}

/// A value in backticks.
pub fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => shown_text(text),
        // 1.0 of a schema is 1 to a reader.
        other => match other.as_f64() {
            Some(number) => format!("`{number}`"),
            None => format!("`{other}`"),
        },
    }
}

/// A text in backticks, shortened.
pub fn shown_text(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}

/// What a key is for: the first sentence of its doc, and its choices if it has any.
pub fn meaning(key: &str, schema: &Value) -> String {
    let doc = schema["description"].as_str().unwrap_or_default();
    let paragraph = doc.split_once("\n\n").map_or(doc, |(first, _)| first);
    let sentence = paragraph.split_once(". ").map_or(paragraph, |(first, _)| first).trim_end_matches('.');
    let mut letters = sentence.chars();
    let first = letters.next().map(char::to_lowercase).into_iter().flatten();
    let sentence: String = first.chain(letters).collect();
    match choices(schema).as_slice() {
        [] => format!("`{key}` is {sentence}"),
        choices => format!("`{key}` is {sentence}: {}", suggest::quoted(choices)),
    }
}

/// The strings that a schema allows.
pub fn choices(schema: &Value) -> Vec<&str> {
    schema["enum"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Message and help for a string that does not have the form of its key.
pub fn pattern(pointer: &str, value: &Value, recipe: &Value) -> (String, Option<String>) {
    let text = value.as_str().unwrap_or_default();
    if pointer == "/name" {
        return (format!("{} is not a name", shown_text(text)), Some(RECIPE_NAMES.to_owned()));
    }
    let key = pointer.rsplit('/').next().unwrap_or_default();
    if key == "name" {
        return (format!("{} is not a name", shown_text(text)), Some(TABLE_NAMES.to_owned()));
    }
    let is_stage_name =
        recipe["stage"].as_array().into_iter().flatten().any(|stage| stage["name"].as_str() == Some(text));
    let help = match is_stage_name {
        true => format!("did you mean `stage:{text}`?"),
        false => format!("`{key}` is `base`, or `stage:NAME` for the result of an earlier stage"),
    };
    (format!("`{key}` cannot be {}", shown_text(text)), Some(help))
}

/// Whether a stage of its kind can have `key`; yes where the table is no stage or has no known kind.
pub fn fits_kind(table: &str, key: &str, recipe: &Value) -> bool {
    let owners = schema::kinds_with(key);
    let kind = recipe.pointer(&join(table, "kind")).and_then(Value::as_str);
    let kind = kind.filter(|kind| Kind::named(kind).is_some());
    owners.is_empty() || !is_stage(table) || kind.is_none_or(|kind| owners.contains(&kind))
}

/// Help for a key that is unknown where it stands, but known elsewhere.
pub fn elsewhere(at: &str, key: &str, schema: &Value) -> Option<String> {
    match (at, key) {
        ("/model", "revision") => {
            return Some(
                "a hub id is its main revision in the local cache; give another one's folder".to_owned(),
            );
        }
        ("/defaults", "name" | "kind") => {
            return Some(format!("every stage has its own `{key}`: write it under `[[stage]]`"));
        }
        _ => {}
    }
    let has = |pointer: &str| schema.pointer(pointer).is_some_and(|table| table[key].is_object());
    if has("/properties/stage/items/properties") && !is_stage(at) && at != "/defaults" {
        Some(format!("`{key}` is a key of a stage: write it under `[[stage]]` or `[defaults]`"))
    } else if let Some(help) = key_of_lora(key, schema) {
        Some(help)
    } else if has("/properties/model/properties") && at != "/model" {
        Some(format!("`{key}` is a key of `[model]`"))
    } else if has("/properties/data/additionalProperties/properties") && !at.starts_with("/data/") {
        Some(format!("`{key}` is a key of `[data.NAME]`"))
    } else {
        None
    }
}

/// Help for a key that `lora` has.
pub fn key_of_lora(key: &str, schema: &Value) -> Option<String> {
    let lora = schema.pointer("/properties/stage/items/properties/lora/properties")?;
    lora[key].is_object().then(|| format!("`{key}` is a key of `lora`: write `lora = {{ {key} = … }}`"))
}

/// What a stage's `loss_type` (or an entry of it) may be, where its kind narrows that.
pub fn choices_of_kind(pointer: &str, recipe: &Value) -> Vec<String> {
    let parts: Vec<String> = segments(pointer).collect();
    let (stage, is_in_list) = match parts.as_slice() {
        [stage, index, key] if stage == "stage" && key == "loss_type" => (index, false),
        [stage, index, key, _] if stage == "stage" && key == "loss_type" => (index, true),
        _ => return vec![],
    };
    let kind = stage.parse::<usize>().ok().and_then(|index| recipe["stage"][index]["kind"].as_str());
    let Some(Losses { names, only_in_lists, .. }) = kind.and_then(Kind::named).and_then(losses) else {
        return vec![];
    };
    names.into_iter().filter(|name| is_in_list || Some(name.as_str()) != only_in_lists).collect()
}

fn losses(kind: Kind) -> Option<Losses> {
    kind.defaults().facts().losses.map(|losses| losses())
}

/// Help for values that this program cannot use.
pub fn not_here(at: &str, value: &str) -> Option<String> {
    match at {
        "/model/device" => Some(device(value)),
        "/model/dtype" => dtype(value),
        _ if at.ends_with("/loss_type") && value == "sft" => {
            Some("write `kind = \"sft\"`, or add another loss: `[\"sigmoid\", \"sft\"]`".to_owned())
        }
        _ if at.ends_with("/kind") && LATER_KINDS.contains(&value) => {
            let kinds = Kind::ALL.map(Kind::name);
            Some(format!("this build has only the kinds {}", suggest::quoted(&kinds)))
        }
        _ => None,
    }
}

/// Help for what is no device.
fn device(value: &str) -> String {
    let devices = ["cpu", "cuda"];
    match value.split_once(':').map_or(value, |(name, _)| name) {
        "cuda" => "a GPU's number follows `cuda:`, e.g. `cuda:1`".to_owned(),
        "gpu" => format!("did you mean `{}`?", value.replace("gpu", "cuda")),
        _ => match suggest::nearest(value, devices) {
            Some(device) => format!("did you mean `{device}`?"),
            None => "devices: `cpu`, `cuda`, and `cuda:N` for GPU N".to_owned(),
        },
    }
}

/// Help for other names of float types.
fn dtype(value: &str) -> Option<String> {
    let said = match value {
        "float32" | "fp32" | "float" => "did you mean `f32`?",
        "bfloat16" => "did you mean `bf16`?",
        "f16" | "fp16" | "float16" | "half" => "`f16` overflows where `bf16` does not; use `bf16`, or `f32`",
        _ => return None,
    };
    Some(said.to_owned())
}
