//! Jinja2's tests (`is …`).

use minijinja::value::{Value, ValueKind};
use minijinja::{Environment, Error};

use super::comparison::{Number, contains, equal, order};
use super::operators;
use super::python::{self, error, type_name};

/// A test of a value, and one of a value and an argument.
type Test = fn(&Value) -> bool;
type ComparisonTest = fn(&Value, &Value) -> Result<bool, Error>;

pub fn add_to(environment: &mut Environment) {
    for unknown_to_jinja2 in ["startingwith", "endingwith", "safe", "int"] {
        environment.remove_test(unknown_to_jinja2);
    }
    let of_value: [(&'static str, Test); 16] = [
        ("none", Value::is_none),
        ("boolean", |value| value.kind() == ValueKind::Bool),
        ("true", |value| value.kind() == ValueKind::Bool && value.is_true()),
        ("false", |value| value.kind() == ValueKind::Bool && !value.is_true()),
        ("integer", |value| type_name(value) == "int"),
        ("float", |value| type_name(value) == "float"),
        ("number", |value| matches!(type_name(value), "int" | "float" | "bool")),
        ("string", |value| value.kind() == ValueKind::String),
        ("mapping", |value| value.kind() == ValueKind::Map),
        ("iterable", |value| {
            use ValueKind::{Iterable, Map, Seq, String, Undefined};
            matches!(value.kind(), Seq | Map | Iterable | String | Undefined)
        }),
        ("sequence", |value| {
            matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::String | ValueKind::Undefined)
        }),
        // Functions and macros are plain objects here. An undefined value counts as callable in Python too,
        // where it is the call that fails.
        ("callable", |value| matches!(value.kind(), ValueKind::Plain | ValueKind::Undefined)),
        ("escaped", Value::is_safe),
        ("lower", |value| cased(value, char::is_lowercase, |text| text.to_lowercase())),
        ("upper", |value| cased(value, char::is_uppercase, |text| text.to_uppercase())),
        ("defined", |value| !value.is_undefined()),
    ];
    for (name, test) in of_value {
        environment.add_test(name, move |value: &Value| test(value));
    }
    let of_two: [(&[&'static str], ComparisonTest); 8] = [
        (&["eq", "==", "equalto"], |a, b| Ok(equal(a, b))),
        (&["ne", "!="], |a, b| Ok(!equal(a, b))),
        (&["lt", "<", "lessthan"], |a, b| ordered("<", a, b, std::cmp::Ordering::is_lt)),
        (&["le", "<="], |a, b| ordered("<=", a, b, std::cmp::Ordering::is_le)),
        (&["gt", ">", "greaterthan"], |a, b| ordered(">", a, b, std::cmp::Ordering::is_gt)),
        (&["ge", ">="], |a, b| ordered(">=", a, b, std::cmp::Ordering::is_ge)),
        (&["in"], |a, b| contains(b, a)),
        (&["divisibleby"], divisible),
    ];
    for (names, test) in of_two {
        for name in names {
            environment.add_test(*name, move |a: &Value, b: &Value| test(a, b));
        }
    }
    environment.add_test("odd", |value: &Value| divisible(&plus_one(value)?, &Value::from(2)));
    environment.add_test("even", |value: &Value| divisible(value, &Value::from(2)));
}

fn ordered(operator: &str, a: &Value, b: &Value, is: fn(std::cmp::Ordering) -> bool) -> Result<bool, Error> {
    Ok(order(operator, a, b)?.is_some_and(is))
}

fn plus_one(value: &Value) -> Result<Value, Error> {
    operators::add(value, &Value::from(1))
}

fn divisible(a: &Value, b: &Value) -> Result<bool, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(_), Some(b)) if b.float() == 0.0 => Err(error("division by zero")),
        (Some(Number::Integer(a)), Some(Number::Integer(b))) => {
            Ok(a.checked_rem(b).is_none_or(|rest| rest == 0))
        }
        (Some(a), Some(b)) => Ok(a.float() % b.float() == 0.0),
        _ => Err(error(format!("divisibility is not defined for `{}` and `{}`", type_name(a), type_name(b)))),
    }
}

/// Whether a text has letters of one case only.
fn cased(value: &Value, is: fn(char) -> bool, to: fn(&str) -> String) -> bool {
    let text = python::str(value);
    text.chars().any(is) && to(&text) == text
}
