//! The reason why a row does not fit its schema: where, what was found, and what is accepted.

use jsonschema::error::{TypeKind, ValidationError, ValidationErrorKind};
use serde_json::Value;

use super::reason::RowReason;

/// Where a row differs from its schema.
#[derive(Debug, Clone, PartialEq)]
enum SchemaMisfit {
    Missing { above: String, key: String },
    Wrong { pointer: String, accepted: Vec<String> },
}

/// The most specific reason for an error of validating `row`.
pub fn reason(error: &ValidationError, row: &Value) -> RowReason {
    let (_, misfit) = deepest(error);
    match misfit {
        SchemaMisfit::Missing { above, key } => {
            let object = row.pointer(&above).and_then(Value::as_object);
            let keys: Vec<String> = object.into_iter().flat_map(|object| object.keys().cloned()).collect();
            // If a turn says who speaks with ShareGPT's key, the key that it lacks is named by ShareGPT's
            // name too.
            let is_share_gpt = key == "role" && keys.iter().any(|key| key == "from");
            let key = if is_share_gpt { "value" } else { key.as_str() };
            RowReason::Missing { pointer: format!("{above}/{key}"), keys }
        }
        SchemaMisfit::Wrong { pointer, accepted } => {
            let found = row.pointer(&pointer).unwrap_or(&Value::Null);
            let at = if pointer.is_empty() { "/" } else { pointer.as_str() };
            RowReason::wrong_type(at, found, listed(&accepted))
        }
    }
}

/// If a value fits none of several types, the one whose error is deepest is the one that it comes nearest
/// to. If all of them fail at the top, all are named as accepted.
fn deepest(error: &ValidationError) -> (usize, SchemaMisfit) {
    let pointer = error.instance_path().as_str().to_owned();
    let depth = pointer.matches('/').count();
    match error.kind() {
        ValidationErrorKind::AnyOf { context } => {
            let mut best = (depth, SchemaMisfit::Wrong { pointer, accepted: Vec::new() });
            for inner in context.iter().flatten().map(deepest) {
                let nearer = inner.0 > best.0
                    || (inner.0 == best.0
                        && matches!(best.1, SchemaMisfit::Missing { .. })
                        && matches!(inner.1, SchemaMisfit::Wrong { .. }));
                match (nearer, &mut best.1, inner.1) {
                    (true, _, misfit) => best = (inner.0, misfit),
                    (
                        false,
                        SchemaMisfit::Wrong { pointer, accepted },
                        SchemaMisfit::Wrong { pointer: other, accepted: also },
                    ) if *pointer == other => {
                        accepted.extend(
                            also.into_iter().filter(|word| !accepted.contains(word)).collect::<Vec<_>>(),
                        );
                    }
                    _ => {}
                }
            }
            best
        }
        ValidationErrorKind::Required { property } => {
            let key = property.as_str().unwrap_or_default().to_owned();
            (depth + 1, SchemaMisfit::Missing { above: pointer, key })
        }
        kind => (depth, SchemaMisfit::Wrong { pointer, accepted: accepted(kind) }),
    }
}

/// What a schema would have taken, in words.
fn accepted(kind: &ValidationErrorKind) -> Vec<String> {
    match kind {
        ValidationErrorKind::Type { kind: TypeKind::Single(one) } => {
            named(&one.to_string()).into_iter().collect()
        }
        ValidationErrorKind::Type { kind: TypeKind::Multiple(several) } => {
            several.iter().filter_map(|one| named(&one.to_string())).collect()
        }
        ValidationErrorKind::Enum { options } => {
            options.as_array().into_iter().flatten().map(|option| format!("`{option}`")).collect()
        }
        ValidationErrorKind::MinItems { limit } | ValidationErrorKind::MaxItems { limit } => {
            vec![format!("a list of {limit}")]
        }
        ValidationErrorKind::AdditionalItems { limit } => vec![format!("a list of {limit}")],
        ValidationErrorKind::Minimum { limit } => vec![format!("a number from {limit}")],
        ValidationErrorKind::Pattern { .. } => vec!["a number as text".to_owned()],
        _ => Vec::new(),
    }
}

fn named(kind: &str) -> Option<String> {
    let words = match kind {
        "string" => "text",
        "array" => "a list",
        "object" => "an object",
        "boolean" => "`true` or `false`",
        "integer" => "a whole number",
        "number" => "a number",
        _ => return None,
    };
    Some(words.to_owned())
}

fn listed(words: &[String]) -> String {
    match words {
        [] => "another value".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}
