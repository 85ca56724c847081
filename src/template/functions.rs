//! Jinja2's global functions and those that Hugging Face adds.

use std::sync::atomic::AtomicUsize;

use indexmap::IndexMap;
use jiff::civil::DateTime;
use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind};

use super::arguments::Arguments;
use super::bounds;
use super::comparison::hashed;
use super::objects::{Cycler, Joiner, Range};
use super::{python, strftime};

/// Adds the functions; `strftime_now` gives `now`.
pub fn add_to(environment: &mut Environment, now: DateTime) {
    environment.add_function("raise_exception", |message: &Value| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, python::str(message)))
    });
    environment.add_function("strftime_now", move |format: &str| {
        bounds::make_text(format.len())?;
        bounds::made(Value::from(strftime::strftime(now, format)))
    });
    environment.add_function("range", |bounds: Rest<Value>| range(&bounds));
    environment.add_function("dict", |arguments: Rest<Value>, named: Kwargs| -> Result<Value, Error> {
        bounds::made(Value::from_pairs(pairs("dict", &arguments, named)?))
    });
    environment.add_function("cycler", |items: Rest<Value>| match items.0.is_empty() {
        true => Err(Error::new(ErrorKind::InvalidOperation, "cycler() needs at least one item")),
        false => bounds::made(Value::from_object(Cycler { items: items.0, at: AtomicUsize::new(0) })),
    });
    environment.add_function("joiner", |separator: Option<Value>| {
        let separator = separator.unwrap_or_else(|| Value::from(", "));
        bounds::made(Value::from_object(Joiner { separator, used: AtomicUsize::new(0) }))
    });
    environment.add_function("lipsum", |_: Rest<Value>, _: Kwargs| -> Result<Value, Error> {
        Err(Error::new(ErrorKind::InvalidOperation, "lipsum() makes random text; it is not supported"))
    });
    environment.remove_global("debug");
}

fn range(bounds: &[Value]) -> Result<Value, Error> {
    let bound = Arguments::new("range", bounds);
    let at = |index: usize| -> Result<i64, Error> {
        bound.integer(index, "")?.ok_or_else(|| bound.error("takes integers"))
    };
    match bounds.len() {
        1 => Range::value(0, at(0)?, 1),
        2 => Range::value(at(0)?, at(1)?, 1),
        3 => Range::value(at(0)?, at(1)?, at(2)?),
        _ => Err(bound.error("takes one to three integers")),
    }
}

/// The entries of `dict(mapping or pairs, **named)`.
pub fn pairs(name: &str, arguments: &[Value], named: Kwargs) -> Result<IndexMap<Value, Value>, Error> {
    let mut pairs = IndexMap::new();
    let error = |what: String| Error::new(ErrorKind::InvalidOperation, format!("{name}() {what}"));
    match arguments {
        [] => {}
        [mapping] if mapping.kind() == ValueKind::Map => {
            for key in mapping.try_iter()? {
                let value = mapping.get_item(&key)?;
                pairs.insert(key, value);
            }
        }
        [items] => {
            for item in python::iterate(items)? {
                match python::iterate(&item)?.as_slice() {
                    [key, value] => {
                        hashed(key)?;
                        pairs.insert(key.clone(), value.clone())
                    }
                    other => return Err(error(format!("needs pairs; an item has {} parts", other.len()))),
                };
            }
        }
        _ => return Err(error("takes one mapping and names".into())),
    }
    let named = Value::from(named);
    for key in named.try_iter()? {
        let value = named.get_item(&key)?;
        pairs.insert(key, value);
    }
    Ok(pairs)
}
