//! Numbers, equality, order and membership of values, as Python has them.

use std::cmp::Ordering;

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, tests};

use super::bounds;
use super::objects::{BigInteger, Method};
use super::python::{self, defined, error, type_name};

/// A number. A boolean counts as 0 or 1.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    Integer(i128),
    Float(f64),
}

impl Number {
    pub fn of(value: &Value) -> Option<Number> {
        match value.kind() {
            ValueKind::Bool => Some(Number::Integer(i128::from(value.is_true()))),
            ValueKind::Number if value.is_integer() => {
                i128::try_from(value.clone()).ok().map(Number::Integer)
            }
            ValueKind::Number => python::float(value).map(Number::Float),
            _ => None,
        }
    }

    pub fn float(self) -> f64 {
        match self {
            Number::Integer(number) => number as f64,
            Number::Float(number) => number,
        }
    }
}

/// The error of an operator that is not defined for the types of two values.
pub fn unsupported(operator: &str, a: &Value, b: &Value) -> Error {
    let undefined = [a, b].into_iter().find_map(|value| defined(value).err());
    undefined.unwrap_or_else(|| {
        error(format!("`{operator}` is not defined for `{}` and `{}`", type_name(a), type_name(b)))
    })
}

/// An integer, in the form that minijinja itself gives it.
pub fn integer(number: i128) -> Value {
    i64::try_from(number).map_or_else(|_| Value::from(number), Value::from)
}

/// `a == b`.
pub fn equal(a: &Value, b: &Value) -> bool {
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        bounds::spend(bounds::COMPARISON);
        return match (a, b) {
            (Number::Integer(a), Number::Integer(b)) => a == b,
            (a, b) => a.float() == b.float(),
        };
    }
    if !bounds::descend() {
        return false;
    }
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return bounds::spend(a.len() / 4) && a == b;
    }
    if let (Some(a), Some(b)) = (a.downcast_object_ref::<BigInteger>(), b.downcast_object_ref::<BigInteger>())
    {
        return a == b;
    }
    let kind = type_name(a);
    if kind != type_name(b) || a.len() != b.len() {
        return false;
    }
    match kind {
        "Undefined" | "NoneType" => true,
        "list" | "tuple" | "range" | "dict_keys" | "dict_values" | "dict_items" => {
            match (a.try_iter(), b.try_iter()) {
                (Ok(a), Ok(b)) => a.zip(b).all(|(a, b)| equal(&a, &b)),
                _ => false,
            }
        }
        "dict" => {
            a.try_iter().into_iter().flatten().all(|key| match (value_of(a, &key), value_of(b, &key)) {
                (Some(a), Some(b)) => equal(&a, &b),
                (a, b) => a.is_none() && b.is_none(),
            })
        }
        "method" => match (a.downcast_object_ref::<Method>(), b.downcast_object_ref::<Method>()) {
            (Some(a), Some(b)) => a.name == b.name && equal(&a.object, &b.object),
            _ => false,
        },
        _ if a.as_object().is_some() => tests::is_sameas(a, b),
        _ => a == b,
    }
}

/// Errors if a value cannot be a dictionary's key.
pub fn hashed(key: &Value) -> Result<(), Error> {
    match type_name(key) {
        kind @ ("list" | "dict") => Err(error(format!("a value of type `{kind}` cannot be a key"))),
        "tuple" => bounds::visit(key),
        _ => Ok(()),
    }
}

/// The value that a dictionary has under a key, if it has that key.
pub fn value_of(dict: &Value, key: &Value) -> Option<Value> {
    hashed(key).ok()?;
    let found = dict.get_item(key).ok().filter(|value| !value.is_undefined());
    found.or_else(|| match Number::of(key) {
        // 1, 1.0 and True are the same key.
        Some(Number::Float(number)) if number.fract() == 0.0 => {
            dict.get_item(&integer(number as i128)).ok().filter(|value| !value.is_undefined())
        }
        Some(_) if !bounds::spend(dict.len().unwrap_or(0).saturating_mul(bounds::ITEM)) => None,
        Some(_) => dict
            .try_iter()
            .ok()?
            .find(|own| Number::of(own).is_some() && equal(own, key))
            .and_then(|own| dict.get_item(&own).ok()),
        None => None,
    })
}

/// The order of two values; `None` if one of them is NaN. Errors if their types cannot be ordered.
pub fn order(operator: &str, a: &Value, b: &Value) -> Result<Option<Ordering>, Error> {
    if let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) {
        return Ok(match (a, b) {
            (Number::Integer(a), Number::Integer(b)) => Some(a.cmp(&b)),
            (a, b) => a.float().partial_cmp(&b.float()),
        });
    }
    if let (Some(a), Some(b)) = (a.as_str(), b.as_str()) {
        return Ok(Some(a.cmp(b)));
    }
    let kind = type_name(a);
    if !bounds::descend() {
        bounds::check()?;
    }
    if kind == type_name(b) && matches!(kind, "list" | "tuple") {
        for (a, b) in a.try_iter()?.zip(b.try_iter()?) {
            if !equal(&a, &b) {
                return order(operator, &a, &b);
            }
        }
        return Ok(Some(a.len().cmp(&b.len())));
    }
    Err(unsupported(operator, a, b))
}

/// `item in container`.
pub fn contains(container: &Value, item: &Value) -> Result<bool, Error> {
    if let Some(text) = container.as_str() {
        bounds::begin([container])?;
        return match item.as_str() {
            Some(part) => Ok(text.contains(part)),
            None => Err(error(format!("`in` a string needs a string, not `{}`", type_name(item)))),
        };
    }
    match container.kind() {
        ValueKind::Map => Ok(value_of(container, item).is_some()),
        _ => {
            bounds::spend(container.len().unwrap_or(0).saturating_mul(bounds::COMPARISON));
            bounds::check()?;
            Ok(python::iterate(container)?.iter().any(|own| equal(own, item)))
        }
    }
}
