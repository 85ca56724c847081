//! What the schema refuses, in our words: each violation becomes a problem at the key or value that
//! it is about, and that value is left out, so that later checks see only what is sound.

use std::collections::HashMap;

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use super::diagnostics::Problem;
use super::document::{Document, join};
use super::schema;
use super::suggest::{self, quoted};
use super::wording::{self, a_type, shown, shown_text, subject, table};

/// Validates the document against the schema of recipes.
pub fn check(document: &mut Document) -> Vec<Problem> {
    let schema = schema::recipe();
    // The schema comes from our own types; a test compiles it.
    let validator = jsonschema::draft7::new(&schema).expect("the generated schema is draft 7");
    let mut reporter =
        Reporter { document, schema: &schema, problems: vec![], refused: vec![], known: HashMap::new() };
    for error in validator.iter_errors(&document.json) {
        reporter.report(&error);
    }
    let Reporter { problems, refused, .. } = reporter;
    document.refuse(&refused);
    problems
}

struct Reporter<'a> {
    document: &'a Document,
    schema: &'a Value,
    problems: Vec<Problem>,
    /// Pointers of what is wrong.
    refused: Vec<String>,
    /// The keys of tables, by their pointers.
    known: HashMap<String, Vec<&'a str>>,
}

impl<'a> Reporter<'a> {
    fn report(&mut self, error: &ValidationError<'_>) {
        let at = error.instance_path().as_str().to_owned();
        let value = error.instance();
        let name = subject(&at);
        let schema = self.schema_of(error);
        match error.kind() {
            Kind::AdditionalProperties { unexpected } => {
                for key in unexpected {
                    self.unknown_key(&at, key, schema);
                }
            }
            Kind::FalseSchema => self.key_of_another_kind(&at),
            Kind::Required { property } => self.missing_key(&at, property, schema),
            Kind::PropertyNames { error } => {
                let key = error.instance().as_str().unwrap_or_default();
                let pointer = join(&at, key);
                let message = format!("{} is not a name", shown_text(key));
                let place = self.document.key_place(&pointer);
                self.add(pointer, Problem::error(place, message).with_help(wording::TABLE_NAMES));
            }
            Kind::AnyOf { context } => self.alternatives(error, schema, context),
            Kind::Enum { .. } => self.not_a_choice(&at, value, schema),
            Kind::Type { .. } => self.wrong_type(&at, value, &[schema]),
            Kind::Minimum { limit } => self.out_of_range(&at, value, "at least", limit),
            Kind::Maximum { limit } => self.out_of_range(&at, value, "at most", limit),
            Kind::ExclusiveMinimum { limit } => self.out_of_range(&at, value, "more than", limit),
            Kind::ExclusiveMaximum { limit } => self.out_of_range(&at, value, "less than", limit),
            Kind::Pattern { .. } => {
                let (message, help) = wording::pattern(&at, value, &self.document.json);
                self.at_value(at, message, help);
            }
            Kind::MinLength { .. } => self.at_value(at, format!("{name} is empty"), None),
            Kind::MinItems { .. } => self.at_value(at, format!("{name} is an empty list"), None),
            Kind::UniqueItems => self.at_value(at, format!("{name} names something twice"), None),
            _ => self.at_value(at, format!("{name}: {error}"), None),
        }
    }

    /// The schema that holds the keyword which `error` is about.
    fn schema_of(&self, error: &ValidationError<'_>) -> &'a Value {
        let path = error.schema_path().as_str();
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let schema: &'a Value = self.schema;
        schema.pointer(parent).unwrap_or(&Value::Null)
    }

    fn add(&mut self, pointer: String, problem: Problem) {
        self.problems.push(problem);
        self.refused.push(pointer);
    }

    fn at_value(&mut self, pointer: String, message: String, help: Option<String>) {
        let place = self.document.value_place(&pointer);
        self.add(pointer, Problem { help, ..Problem::error(place, message) });
    }

    fn unknown_key(&mut self, at: &str, key: &str, schema: &'a Value) {
        let pointer = join(at, key);
        let json = &self.document.json;
        let known = self.known.entry(at.to_owned()).or_insert_with(|| {
            let keys = schema["properties"].as_object().into_iter().flatten();
            // Where the kind is known, keys of other kinds are not suggested.
            keys.map(|(key, _)| key.as_str()).filter(|key| wording::fits_kind(at, key, json)).collect()
        });
        let help = wording::elsewhere(at, key, self.schema)
            .or_else(|| suggest::help(key, known, &format!("keys of {}", table(at))));
        let problem = Problem::error(
            self.document.key_place(&pointer),
            format!("unknown key {} in {}", shown_text(key), table(at)),
        );
        self.add(pointer, Problem { help, ..problem });
    }

    fn key_of_another_kind(&mut self, at: &str) {
        let Some((stage, key)) = at.rsplit_once('/') else {
            return;
        };
        let owners = suggest::listed(&schema::kinds_with(key), "and");
        let kind = self.document.json.pointer(&join(stage, "kind")).and_then(Value::as_str);
        let message = format!("`{key}` is a key of {owners}, not of {}", kind.unwrap_or("this"));
        let place = self.document.key_place(at);
        let help = wording::key_of_lora(key, self.schema);
        self.add(at.to_owned(), Problem { help, ..Problem::error(place, message) });
    }

    fn missing_key(&mut self, at: &str, property: &Value, schema: &Value) {
        let key = property.as_str().unwrap_or_default();
        let pointer = join(at, key);
        if self.document.is_refused(&pointer) {
            return;
        }
        let lacking = match pointer.as_str() {
            "/model" => "[model]",
            "/stage" => "[[stage]]",
            _ => key,
        };
        let message = format!("{} has no `{lacking}`", table(at));
        let problem = Problem::error(self.document.key_place(at), message);
        self.problems.push(problem.with_help(wording::meaning(key, &schema["properties"][key])));
    }

    /// Where a value may have several forms, the form of its own type says what is wrong.
    fn alternatives(
        &mut self,
        error: &ValidationError<'_>,
        schema: &Value,
        context: &[Vec<ValidationError<'static>>],
    ) {
        let at = error.instance_path().as_str();
        let forms: Vec<&Value> = schema["anyOf"].as_array().into_iter().flatten().collect();
        let meant = forms.iter().position(|form| wording::takes(form, error.instance()));
        match meant.and_then(|index| context.get(index)) {
            Some(errors) => {
                for error in errors {
                    self.report(error);
                }
            }
            None => self.wrong_type(at, error.instance(), &forms),
        }
    }

    fn not_a_choice(&mut self, at: &str, value: &Value, schema: &Value) {
        let text = match value {
            Value::String(text) => text,
            // A list, where other kinds take one.
            Value::Array(_) => return self.wrong_type(at, value, &[&Value::Null]),
            // Another type is a violation of its own.
            _ => return,
        };
        let of_kind = wording::choices_of_kind(at, &self.document.json);
        let of_kind: Vec<&str> = of_kind.iter().map(String::as_str).collect();
        let choices = if of_kind.is_empty() { wording::choices(schema) } else { of_kind };
        let help = wording::not_here(at, text)
            .or_else(|| suggest::help(text, &choices, "choices"))
            .or_else(|| Some(format!("choices: {}", quoted(&choices))));
        self.at_value(at.to_owned(), format!("{} cannot be {}", subject(at), shown_text(text)), help);
    }

    fn wrong_type(&mut self, at: &str, value: &Value, forms: &[&Value]) {
        let mut wanted: Vec<&str> = forms.iter().map(|form| wording::type_wanted(form)).collect();
        wanted.dedup();
        let message = format!("{} must be {}, not {}", subject(at), wanted.join(" or "), a_type(value));
        let help = match (at, value) {
            ("/stage", Value::Object(_)) => {
                Some("write `[[stage]]`, with two brackets, above each stage".to_owned())
            }
            _ => None,
        };
        self.at_value(at.to_owned(), message, help);
    }

    fn out_of_range(&mut self, at: &str, value: &Value, relation: &str, limit: &Value) {
        let message = format!("{} must be {relation} {}, not {}", subject(at), shown(limit), shown(value));
        self.at_value(at.to_owned(), message, None);
    }
}
