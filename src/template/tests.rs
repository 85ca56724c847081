//! Tests (`is …`) that differ between minijinja and Jinja2, as Jinja2 has them.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

pub fn add_to(environment: &mut Environment) {
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined)
    });
}
