//! Tests (`is …`) that differ between minijinja and Jinja2, as Jinja2 has them.

use minijinja::value::ValueKind;
use minijinja::{Environment, Value};

pub fn add_to(environment: &mut Environment) {
    for unknown_to_jinja2 in ["startingwith", "endingwith", "safe", "int"] {
        environment.remove_test(unknown_to_jinja2);
    }
    environment.add_test("iterable", |value: &Value| !value.is_none() && value.try_iter().is_ok());
    environment.add_test("sequence", |value: &Value| {
        matches!(
            value.kind(),
            ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined
        )
    });
    // What can be called is a plain object here: functions, macros. An undefined value can in
    // Python, where calling it is the error.
    environment.add_test("callable", |value: &Value| {
        matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined)
    });
}
