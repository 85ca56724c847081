//! `schemas/recipe.schema.json`: generated from the types, read by editors (Taplo, Even Better
//! TOML) and by [`super::violations`].
//!
//! The stages are one table with the keys of all kinds, of which `if`/`then` takes away those of
//! other kinds. A `oneOf` with one table per kind would be the plainer tagged union, but where a stage
//! has one mistake it says only that no alternative fits; this form names the key. Taplo completes
//! both alike. Everything is inline: Taplo follows no `$ref` below `items` when it completes keys.

use std::sync::LazyLock;

use indexmap::IndexMap;
use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::{Transform, transform_subschemas};
use serde_json::{Map, Value, json};

use super::suggest::listed;
use super::written::Recipe;
use crate::kinds::Kind;
use crate::kinds::facts::Losses;
use crate::train::TrainingSettings;

/// Keys whose default is not one value: it is the kind's or the recipe's own.
const WITHOUT_DEFAULT: [&str; 2] = ["learning_rate", "seed"];

/// Each kind and the schemas of the keys that it has and not every kind.
fn tables() -> &'static [(Kind, Map<String, Value>)] {
    static TABLES: LazyLock<Vec<(Kind, Map<String, Value>)>> = LazyLock::new(|| {
        let keys = |kind: Kind| match kind.defaults().facts().keys {
            Some(schema) => properties(schema),
            None => Map::new(),
        };
        Kind::ALL.map(|kind| (kind, keys(kind))).to_vec()
    });
    &TABLES
}

/// Each kind and the keys that it has and not every kind.
pub fn kinds() -> &'static [(Kind, Vec<String>)] {
    static KINDS: LazyLock<Vec<(Kind, Vec<String>)>> = LazyLock::new(|| {
        let names = |keys: &Map<String, Value>| keys.keys().cloned().collect();
        tables().iter().map(|(kind, keys)| (*kind, names(keys))).collect()
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
    for table in ["/properties/defaults/properties", "/properties/stage/items/properties"] {
        if let Some(Value::Object(table)) = schema.pointer_mut(table) {
            table.extend(of_every_kind());
            table.extend(of_some_kinds());
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

/// The keys of a table and their schemas, in order.
fn properties(schema: fn(&mut SchemaGenerator) -> Schema) -> Map<String, Value> {
    let mut generator = generator();
    let mut schema = schema(&mut generator);
    AsToml.transform(&mut schema);
    match schema.remove("properties") {
        Some(Value::Object(properties)) => properties,
        _ => Map::new(),
    }
}

/// Keys that every kind has.
fn of_every_kind() -> Map<String, Value> {
    let mut keys = properties(<TrainingSettings as schemars::JsonSchema>::json_schema);
    for key in WITHOUT_DEFAULT {
        if let Some(Value::Object(schema)) = keys.get_mut(key) {
            schema.remove("default");
        }
    }
    if let Some(Value::String(words)) = keys.get_mut("learning_rate").map(|rate| &mut rate["description"]) {
        words.push_str(&format!(" {}", rates()));
    }
    keys
}

/// The learning rates of all kinds, in words.
fn rates() -> String {
    let of = |rate: fn(Kind) -> f64| {
        let mut kinds: IndexMap<String, Vec<&str>> = IndexMap::new();
        Kind::ALL
            .iter()
            .for_each(|kind| kinds.entry(format!("{:e}", rate(*kind))).or_default().push(kind.name()));
        let each = kinds.iter().map(|(rate, kinds)| format!("{} {rate}", listed(kinds, "and")));
        each.collect::<Vec<_>>().join("; ")
    };
    let full = of(|kind| kind.defaults().facts().learning_rate.full);
    let lora = of(|kind| kind.defaults().facts().learning_rate.lora);
    format!("Default: {full}. With `tuner = \"lora\"`: {lora}.")
}

/// Keys that not every kind has, each once, with whose it is.
fn of_some_kinds() -> Map<String, Value> {
    let mut owners: IndexMap<&String, Vec<(&'static str, &Value)>> = IndexMap::new();
    for (kind, keys) in tables() {
        keys.iter().for_each(|(key, schema)| owners.entry(key).or_default().push((kind.name(), schema)));
    }
    let merged = owners.into_iter().map(|(key, variants)| {
        let kinds: Vec<&str> = variants.iter().map(|(kind, _)| *kind).collect();
        let mut schema = if key == "loss_type" { losses_of_all(&variants) } else { common(&variants) };
        if let Value::String(words) = &mut schema["description"] {
            words.push_str(&format!("\n\nOnly in stages of kind {}.", listed(&kinds, "and")));
        }
        (key.clone(), schema)
    });
    merged.collect()
}

/// What the kinds' schemas of one key agree in, and what each says of it.
fn common(variants: &[(&'static str, &Value)]) -> Value {
    let (_, first) = variants[0];
    let mut schema = first.clone();
    if let Value::Object(schema) = &mut schema {
        schema.retain(|keyword, value| variants.iter().all(|(_, other)| other[keyword.as_str()] == *value));
    }
    if schema["description"].is_null() {
        schema["description"] = said(variants, "description", |words, kinds| format!("{kinds}: {words}"));
    }
    if schema["default"].is_null() && !first["default"].is_null() {
        let defaults = variants.iter().map(|(kind, other)| format!("{kind} {}", other["default"]));
        let defaults = defaults.collect::<Vec<_>>().join(", ").replace('"', "`");
        if let Value::String(words) = &mut schema["description"] {
            words.push_str(&format!("\n\nDefault: {defaults}."));
        }
    }
    if schema["default"].is_null()
        && let Value::Object(schema) = &mut schema
    {
        schema.remove("default");
    }
    schema
}

/// What the kinds say in one keyword, kinds that say the same together.
fn said(variants: &[(&'static str, &Value)], keyword: &str, told: fn(&str, &str) -> String) -> Value {
    let mut texts: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (kind, schema) in variants {
        texts.entry(schema[keyword].as_str().unwrap_or_default()).or_default().push(*kind);
    }
    let each = texts.iter().map(|(text, kinds)| told(text, &kinds.join(", ")));
    Value::String(each.collect::<Vec<_>>().join("\n\n"))
}

/// `loss_type`: a name, or a list of names. Which are a kind's own, the conditions say.
fn losses_of_all(variants: &[(&'static str, &Value)]) -> Value {
    let mut docs: IndexMap<&str, Vec<(&'static str, &str)>> = IndexMap::new();
    for (kind, schema) in variants {
        let form = if schema["enum"].is_array() { schema } else { &schema["anyOf"][0] };
        let names = form["enum"].as_array().into_iter().flatten();
        let said = form["x-taplo"]["docs"]["enumValues"].as_array().into_iter().flatten();
        for (name, doc) in names.zip(said) {
            let doc = doc.as_str().unwrap_or_default();
            docs.entry(name.as_str().unwrap_or_default()).or_default().push((*kind, doc));
        }
    }
    let choices = docs.iter().map(|(name, docs)| {
        let mut texts: IndexMap<&str, Vec<&str>> = IndexMap::new();
        docs.iter().for_each(|(kind, doc)| texts.entry(*doc).or_default().push(*kind));
        let texts = texts.iter().map(|(doc, kinds)| format!("{}: {doc}", kinds.join(", ")));
        json!({ "const": name, "description": texts.collect::<Vec<_>>().join(" ") })
    });
    let name = json!({ "oneOf": choices.collect::<Vec<_>>() });
    let words = "The loss; dpo also takes a list of losses that are added with `loss_weights`.";
    let defaults = variants
        .iter()
        .map(|(kind, schema)| format!("{kind} `{}`", schema["default"].as_str().unwrap_or_default()));
    let mut schema = json!({
        "description": format!("{words} Default: {}.", defaults.collect::<Vec<_>>().join(", ")),
        "anyOf": [name, { "type": "array", "items": name, "minItems": 1, "uniqueItems": true }],
    });
    if let Ok(schema) = <&mut Schema>::try_from(&mut schema) {
        AsToml.transform(schema);
    }
    schema
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
    let Losses { names, lists, only_in_lists } = kind.defaults().facts().losses?();
    if !lists {
        return Some(json!({ "enum": names }));
    }
    let alone: Vec<&String> = names.iter().filter(|name| Some(name.as_str()) != only_in_lists).collect();
    let list = json!({ "type": "array", "items": { "enum": names } });
    Some(json!({ "anyOf": [{ "type": "string", "enum": alone }, list] }))
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
        if map.get("default").is_some_and(Value::is_null) {
            map.remove("default");
        }
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
