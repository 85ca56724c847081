//! Attributes, subscripts, slices and methods where Python's differ from minijinja's, as filters that
//! [`writer`](super::writer) puts in their place.

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::arguments::Arguments;
use super::bounds;
use super::comparison::{Number, hashed, integer, value_of};
use super::method_names::has_method;
use super::objects::{BigInteger, Method};
use super::python::{defined, error};
use super::slice;

/// `value.name`, where `name` may be a method.
pub const ATTRIBUTE: &str = "__attribute__";
/// `value[key]`.
pub const ITEM: &str = "__item__";
/// `value[start:stop:step]`.
pub const SLICE: &str = "__slice__";
/// `value.name(…)`.
pub const METHOD: &str = "__method__";
/// An integer of more than 128 bits.
pub const BIG_INTEGER: &str = "__integer__";

/// A list, tuple or dictionary that an expression writes out.
pub const BUILT: &str = "__built__";
/// The key of such a dictionary.
pub const KEY: &str = "__key__";

pub fn add_to(environment: &mut Environment) {
    environment.add_filter(ATTRIBUTE, |value: &Value, name: &str, path: Option<&str>| {
        known(value, path)?;
        bounds::made(attribute(value, name)?)
    });
    environment.add_filter(ITEM, |value: &Value, key: &Value, path: Option<&str>| {
        known(value, path)?;
        bounds::begin([value])?;
        item(value, key)
    });
    environment.add_filter(SLICE, |value: &Value, bounds: Rest<Value>| {
        bounds::begin([value])?;
        bounds::made(slice::slice(value, &Arguments::new("slice", &bounds))?)
    });
    environment.add_filter(
        METHOD,
        |state: &mut State, value: &Value, name: &str, mut arguments: Rest<Value>, named: Kwargs| {
            let named = Value::from(named);
            if named.len() != Some(0) {
                arguments.push(named);
            }
            method(state, value, name, &arguments)
        },
    );
    environment.add_filter(BUILT, |value: Value| bounds::made(value));
    environment.add_filter(KEY, |value: Value| hashed(&value).map(|()| value));
    environment.add_filter(BIG_INTEGER, |digits: String| Value::from_object(BigInteger(digits)));
}

/// Errors if the value is not defined. The error names it as the template does.
fn known(value: &Value, path: Option<&str>) -> Result<(), Error> {
    match path.filter(|_| value.is_undefined()) {
        Some(path) => Err(error(format!("`{path}` is not defined"))),
        None => defined(value),
    }
}

/// An attribute: the method if the type has one of this name, or else the item.
fn attribute(value: &Value, name: &str) -> Result<Value, Error> {
    defined(value)?;
    match bound_method(value, name) {
        Some(method) => Ok(method),
        None => Ok(value.get_attr(name).unwrap_or_default()),
    }
}

/// The method of `value` called `name`.
pub fn bound_method(value: &Value, name: &str) -> Option<Value> {
    let method = || Value::from_object(Method { object: value.clone(), name: name.to_owned() });
    has_method(value, name).then(method)
}

/// The item of a key or an index, or else the attribute of that name.
pub fn item(value: &Value, key: &Value) -> Result<Value, Error> {
    defined(value)?;
    let found = match value.kind() {
        ValueKind::Map => value_of(value, key),
        ValueKind::Seq | ValueKind::String => match Number::of(key) {
            Some(Number::Integer(index)) => {
                let length = match value.as_str() {
                    Some(text) => text.chars().count(),
                    None => value.len().unwrap_or(0),
                };
                let index = if index < 0 { index + length as i128 } else { index };
                let of_text = |text: &str| {
                    let c = text.chars().nth(usize::try_from(index).ok()?)?;
                    Some(Value::from(c.to_string()))
                };
                match value.as_str() {
                    Some(text) => of_text(text),
                    None if (0..length as i128).contains(&index) => value.get_item(&integer(index)).ok(),
                    None => None,
                }
            }
            _ => None,
        },
        _ => None,
    };
    match (found, key.as_str()) {
        (Some(found), _) => Ok(found),
        (None, Some(name)) => attribute(value, name),
        (None, None) => Ok(Value::UNDEFINED),
    }
}

fn method(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    if value.is_undefined() {
        return Err(error(format!("`{name}` is called of a value that is not defined")));
    }
    if name == "cycle" && arguments.is_empty() {
        return Err(error("cycle() needs at least one item"));
    }
    if name == "changed" {
        arguments.iter().try_for_each(bounds::visit)?;
    }
    value.call_method(state, name, arguments)
}
