//! `schemas/recipe.schema.json`: generated from the types, read by editors (Taplo, Even Better
//! TOML) and by [`super::violations`].
//!
//! The stages are one table with the keys of all kinds, of which `if`/`then` takes away those of
//! other kinds. A `oneOf` with a table a kind would be the plainer tagged union, but where a stage
//! has one mistake it says only that no alternative fits; this form names the key. Taplo completes
//! both alike. Everything is inline: Taplo follows no `$ref` below `items` when it completes keys.

use std::sync::LazyLock;

use schemars::JsonSchema;
use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

use super::dpo::{self, DpoKeys};
use super::kto::{self, KtoKeys};
use super::loss_type::LossName;
use super::orpo::{self, OrpoKeys};
use super::ppo::{self, PpoKeys};
use super::rm::{self, RmKeys};
use super::simpo::{self, SimpoKeys};
use super::stage::Kind;
use super::written::Recipe;
use super::{cpo, wording};

/// Each kind and the keys that it has and not every kind.
pub fn kinds() -> &'static [(Kind, Vec<String>)] {
    static KINDS: LazyLock<Vec<(Kind, Vec<String>)>> = LazyLock::new(|| {
        vec![
            (Kind::Sft, vec![]),
            (Kind::Rm, keys_of::<RmKeys>(&rm::SHARED)),
            (Kind::Ppo, keys_of::<PpoKeys>(&ppo::SHARED)),
            (Kind::Dpo, keys_of::<DpoKeys>(&dpo::SHARED)),
            (Kind::Kto, keys_of::<KtoKeys>(&kto::SHARED)),
            (Kind::Cpo, cpo::SHARED.map(str::to_owned).to_vec()),
            (Kind::Orpo, keys_of::<OrpoKeys>(&orpo::SHARED)),
            (Kind::Simpo, keys_of::<SimpoKeys>(&simpo::SHARED)),
        ]
    });
    &KINDS
}

/// The kinds that have `key`, if not all have.
pub fn kinds_with(key: &str) -> Vec<&'static str> {
    let owners = kinds().iter().filter(|(_, keys)| keys.iter().any(|own| own == key));
    owners.map(|(kind, _)| kind.name()).collect()
}

/// The JSON Schema (draft 7) of a recipe.
pub fn recipe() -> Value {
    let generated = generator().into_root_schema_for::<Recipe>().to_value();
    let mut schema = json!({ "$schema": generated["$schema"] });
    if let (Value::Object(schema), Value::Object(generated)) = (&mut schema, generated) {
        schema.extend(generated);
    }
    for table in ["/properties/defaults", "/properties/stage/items"] {
        if let Some(table) = schema.pointer_mut(table) {
            name_kinds(table);
        }
    }
    if let Some(Value::Object(stage)) = schema.pointer_mut("/properties/stage/items")
        && let Value::Object(conditions) = without_other_kinds()
    {
        stage.extend(conditions);
    }
    schema
}

/// The schema as committed: two spaces, a newline at the end.
pub fn recipe_text() -> String {
    format!("{:#}\n", recipe())
}

fn generator() -> SchemaGenerator {
    SchemaSettings::draft07()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(AsToml)
        .into_generator()
}

/// `shared`, and the names of the keys of a table, in order.
fn keys_of<T: JsonSchema>(shared: &[&str]) -> Vec<String> {
    let schema = generator().into_root_schema_for::<T>();
    let properties = schema.get("properties").and_then(Value::as_object);
    let own = properties.into_iter().flatten().map(|(key, _)| key.clone());
    shared.iter().map(|key| (*key).to_owned()).chain(own).collect()
}

/// Says at each key of one kind whose it is.
fn name_kinds(table: &mut Value) {
    let Some(properties) = table.get_mut("properties").and_then(Value::as_object_mut) else {
        return;
    };
    for (key, schema) in properties {
        let kinds = kinds_with(key);
        if let Some(Value::String(text)) = schema.get_mut("description")
            && !kinds.is_empty()
        {
            text.push_str(&format!("\n\nOnly in stages of kind {}.", wording::listed(&kinds, "and")));
        }
    }
}

/// `if kind is a then {keys of others: false, losses: its own} else if kind is b …`
fn without_other_kinds() -> Value {
    let kinds = kinds();
    kinds.iter().rev().fold(json!({}), |rest, (kind, own)| {
        let others = kinds.iter().flat_map(|(_, keys)| keys).filter(|key| !own.contains(key));
        let mut keys: Map<String, Value> = others.map(|key| (key.clone(), Value::Bool(false))).collect();
        if let Some(losses) = losses(*kind) {
            keys.insert("loss_type".to_owned(), losses);
        }
        let mut condition = json!({
            "if": { "properties": { "kind": { "const": kind.name() } }, "required": ["kind"] },
            "then": { "properties": keys },
        });
        if rest != json!({}) {
            condition["else"] = rest;
        }
        condition
    })
}

/// What a kind's `loss_type` may be, if it has that key. That it is a name or a list of names is said
/// for all kinds; here it must be one of the kind's own, and in a list only where the kind adds losses.
fn losses(kind: Kind) -> Option<Value> {
    let names: Vec<String> = LossName::of_kind(kind).iter().map(|loss| loss.name()).collect();
    match kind {
        _ if names.is_empty() => None,
        Kind::Dpo => {
            let alone: Vec<&String> = names.iter().filter(|name| **name != LossName::Sft.name()).collect();
            let list = json!({ "type": "array", "items": { "enum": names } });
            Some(json!({ "anyOf": [{ "type": "string", "enum": alone }, list] }))
        }
        _ => Some(json!({ "enum": names })),
    }
}

/// Makes what schemars writes fit TOML and readers of it: no nulls, no formats of Rust's integers,
/// no keys beyond those named, docs without the line breaks of source code.
#[derive(Debug, Clone)]
struct AsToml;

impl Transform for AsToml {
    fn transform(&mut self, schema: &mut Schema) {
        transform_subschemas(self, schema);
        let Some(map) = schema.as_object_mut() else {
            return;
        };
        map.remove("format");
        if let Some(Value::Array(types)) = map.get_mut("type") {
            types.retain(|name| name != "null");
            if let [only] = types.as_slice() {
                let only = only.clone();
                map.insert("type".to_owned(), only);
            }
        }
        if let Some(Value::String(text)) = map.get_mut("description") {
            let paragraphs = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
            *text = paragraphs.collect::<Vec<_>>().join("\n\n");
        }
        if map.contains_key("properties") && !map.contains_key("additionalProperties") {
            map.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        document_choices(map);
        unwrap_options(map);
        document_forms(map);
    }
}

/// `Option<T>` → `T`.
fn unwrap_options(schema: &mut Map<String, Value>) {
    let Some(Value::Array(forms)) = schema.get_mut("anyOf") else { return };
    forms.retain(|form| form["type"] != "null");
    if let [Value::Object(only)] = forms.as_mut_slice() {
        let only = std::mem::take(only);
        schema.remove("anyOf");
        for (key, value) in only {
            // What is said at the key is more to the point than what is said of its type, but the
            // choices are said by the type alone.
            match (schema.get_mut(&key), &value) {
                (Some(Value::String(words)), Value::String(choices)) if key == "description" => {
                    if let Some(list) = choices.find("- `") {
                        words.push_str(&format!("\n\n{}", &choices[list..]));
                    }
                }
                (Some(_), _) => {}
                (None, _) => {
                    schema.insert(key, value);
                }
            }
        }
    }
}

/// Choices with docs, which schemars writes as `oneOf` constants → `enum`, with the docs both in the
/// description and where Taplo looks for them: it would show those of the constants in place of the
/// key's own.
fn document_choices(schema: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = schema.get("oneOf") else { return };
    if !choices.iter().all(|choice| choice["const"].is_string()) {
        return;
    }
    let values: Vec<Value> = choices.iter().map(|choice| choice["const"].clone()).collect();
    let docs: Vec<Value> = choices.iter().map(|choice| choice["description"].clone()).collect();
    let list = values.iter().zip(&docs).map(|(value, doc)| {
        format!("- `{}`: {}", value.as_str().unwrap_or_default(), doc.as_str().unwrap_or_default())
    });
    let list = list.collect::<Vec<_>>().join("\n");
    let words = match schema.get("description") {
        Some(Value::String(words)) => format!("{words}\n\n{list}"),
        _ => list,
    };
    schema.remove("oneOf");
    schema.insert("description".to_owned(), Value::String(words));
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), Value::Array(values));
    schema.insert("x-taplo".to_owned(), json!({ "docs": { "enumValues": docs } }));
}

/// A key of several forms: Taplo shows the docs of the forms and not the key's own, so each form
/// gets these as well.
fn document_forms(schema: &mut Map<String, Value>) {
    let Some(Value::String(words)) = schema.get("description").cloned() else { return };
    for form in schema.get_mut("anyOf").and_then(Value::as_array_mut).into_iter().flatten() {
        form["description"] = match &form["description"] {
            Value::String(own) => Value::String(format!("{words}\n\n{own}")),
            _ => Value::String(words.clone()),
        };
    }
}
