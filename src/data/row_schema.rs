//! JSON Schemas of rows, generated from [`wire`](super::format::wire).

use std::collections::BTreeSet;
use std::sync::LazyLock;

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

macro_rules! checked {
    ($($row:ty),* $(,)?) => {
        $(impl Checked for $row {
            fn misfit(row: &Value) -> RowReason {
                static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
                    jsonschema::draft7::new(&schema::<$row>()).ok()
                });
                let error = VALIDATOR.as_ref().and_then(|schema| schema.validate(row).err());
                match error {
                    Some(error) => misfit::reason(&error, row),
                    None => RowReason::wrong_type("/", row, "a row as `schemas/` describe it"),
                }
            }

            fn keys() -> &'static BTreeSet<String> {
                static KEYS: LazyLock<BTreeSet<String>> = LazyLock::new(|| keys(&schema::<$row>()));
                &KEYS
            }
        })*
    };
}

checked!(
    wire::ChosenRejected,
    wire::ConversationsChosenRejected,
    wire::MessagesRejectedResponse,
    wire::MessagesRejectedMessages,
    wire::QueryResponseRejected,
    wire::ChosenIndex,
    wire::BetterResponse,
    wire::PreferenceStrength,
    wire::Winner,
    wire::ConversationWinner,
    wire::AlpacaPair,
    wire::Messages,
    wire::Conversations,
    wire::PromptCompletion,
    wire::PromptResponse,
    wire::Alpaca,
    wire::QueryResponse,
    wire::Text,
    wire::Labelled<wire::Messages>,
    wire::Labelled<wire::Conversations>,
    wire::Labelled<wire::PromptCompletion>,
    wire::Labelled<wire::PromptResponse>,
    wire::Labelled<wire::Alpaca>,
    wire::Labelled<wire::QueryResponse>,
    wire::PromptOnly,
);

/// The properties of a schema's root and of its alternatives.
fn keys(schema: &Value) -> BTreeSet<String> {
    let own = schema["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone());
    let parts = ["anyOf", "allOf", "oneOf"].into_iter().filter_map(|key| schema[key].as_array());
    own.chain(parts.flatten().flat_map(keys)).collect()
}
