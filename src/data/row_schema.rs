//! JSON Schemas of rows, generated from [`wire`](super::format::wire).

use std::any::TypeId;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};

use jsonschema::Validator;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::accepted;
use super::format::wire;
use super::misfit;
use super::reason::RowReason;

/// The schema (draft-07) of a row that serves `sft` stages.
pub fn sft() -> Value {
    any_shape::<wire::SftRow>()
}

/// The schema (draft-07) of a row that serves stages that want preferences.
pub fn preference() -> Value {
    any_shape::<wire::PreferenceRow>()
}

/// The schema (draft-07) of a row that serves stages that want one labelled answer.
pub fn unpaired() -> Value {
    any_shape::<wire::UnpairedRow>()
}

/// The schema (draft-07) of a row that serves stages that want prompts.
pub fn prompt() -> Value {
    any_shape::<wire::PromptRow>()
}

/// A schema in the form of the files in `schemas/`: indented by two spaces, with a newline at the end.
pub fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

/// The schema of a row of one of several shapes, with the keys that all of them may have.
fn any_shape<T: JsonSchema>() -> Value {
    let mut schema = schema::<T>();
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    schema["properties"] = json!({ accepted::KEY: {
        "description": "All answers to the row's question that are right. Held-out rows with them are answered \
                        greedily; `eval_exact_match` is the share whose answer is one of them.",
        "anyOf": [{ "type": "string" }, texts, { "type": "null" }],
    } });
    schema
}

/// A type of row with its own schema.
pub trait Checked {
    /// Why `row` is not of this type.
    fn misfit(row: &Value) -> RowReason;

    /// The keys that the type reads.
    fn keys() -> &'static BTreeSet<String>;
}

/// What the schema of a type tells, made when it is first asked for.
#[derive(Default)]
struct RowType {
    keys: OnceLock<BTreeSet<String>>,
    validator: OnceLock<Option<Validator>>,
}

/// That of `T`, kept until the program ends.
fn row_type<T: 'static>() -> &'static RowType {
    static TYPES: Mutex<BTreeMap<TypeId, &'static RowType>> = Mutex::new(BTreeMap::new());
    let mut types = TYPES.lock().unwrap_or_else(PoisonError::into_inner);
    types.entry(TypeId::of::<T>()).or_insert_with(|| Box::leak(Box::default()))
}

impl<T: JsonSchema + 'static> Checked for T {
    fn misfit(row: &Value) -> RowReason {
        let validator = &row_type::<T>().validator;
        let validator = validator.get_or_init(|| jsonschema::draft7::new(&schema::<T>()).ok());
        match validator.as_ref().and_then(|schema| schema.validate(row).err()) {
            Some(error) => misfit::reason(&error, row),
            None => RowReason::wrong_type("/", row, "a row as `schemas/` describe it"),
        }
    }

    fn keys() -> &'static BTreeSet<String> {
        row_type::<T>().keys.get_or_init(|| keys(&schema::<T>()))
    }
}

/// The properties of a schema's root and of its alternatives.
fn keys(schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone());
    let parts = ["anyOf", "allOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array());
    own.chain(parts.flatten().flat_map(keys)).collect()
}
