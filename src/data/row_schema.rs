//! JSON Schemas of rows, generated from [`wire`](super::format::wire), and what a row that does not
//! fit one is told.

use std::sync::LazyLock;

use jsonschema::Validator;
use jsonschema::error::{ValidationError, ValidationErrorKind};
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::accepted;
use super::format::wire;
use super::reason::Reason;

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

/// A schema as `schemas/` has it: two spaces, a newline at the end.
pub fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

fn schema<T: JsonSchema>() -> Value {
    SchemaSettings::draft07().into_generator().into_root_schema_for::<T>().to_value()
}

/// The schema of a row of several shapes, with what all of them may have.
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
    fn misfit(row: &Value) -> Reason;
}

macro_rules! checked {
    ($($row:ty),* $(,)?) => {
        $(impl Checked for $row {
            fn misfit(row: &Value) -> Reason {
                static VALIDATOR: LazyLock<Option<Validator>> = LazyLock::new(|| {
                    jsonschema::draft7::new(&schema::<$row>()).ok()
                });
                let error = VALIDATOR.as_ref().and_then(|schema| schema.validate(row).err());
                error.map_or(Reason::WrongType("/".into()), |error| {
                    let (_, reason) = deepest(&error);
                    reason
                })
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
    wire::Messages,
    wire::Conversations,
    wire::PromptCompletion,
    wire::Alpaca,
    wire::QueryResponse,
    wire::Labelled<wire::Messages>,
    wire::Labelled<wire::Conversations>,
    wire::Labelled<wire::PromptCompletion>,
    wire::Labelled<wire::Alpaca>,
    wire::Labelled<wire::QueryResponse>,
    wire::Prompt,
);

/// The most particular reason of an error, and how deep in the row it is. Where a value fits none of
/// several types, the one that it comes nearest to is the one it fails deepest in.
fn deepest(error: &ValidationError) -> (usize, Reason) {
    let pointer = error.instance_path().as_str().to_owned();
    let depth = pointer.matches('/').count();
    match error.kind() {
        ValidationErrorKind::AnyOf { context } => {
            let mut best = (depth, Reason::WrongType(pointer));
            for inner in context.iter().flatten().map(deepest) {
                let nearer = inner.0 > best.0
                    || (inner.0 == best.0
                        && matches!(best.1, Reason::Missing(_))
                        && matches!(inner.1, Reason::WrongType(_)));
                if nearer {
                    best = inner;
                }
            }
            best
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default();
            (depth + 1, Reason::Missing(format!("{pointer}/{key}")))
        }
        _ => (depth, Reason::WrongType(pointer)),
    }
}
