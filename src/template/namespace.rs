//! `namespace(…)`: the one object that a template can change.

use std::fmt;
use std::sync::{Arc, Mutex};

use indexmap::IndexMap;
use minijinja::value::{Kwargs, Object, ObjectRepr, Rest, Value};
use minijinja::{Environment, Error, ErrorKind};

use super::{bounds, functions, python};

/// The function that `{% set object.name = value %}` is rewritten to call.
pub const SET: &str = "__set_attribute__";

/// Names and values, in the order in which the names were first set.
#[derive(Debug)]
struct Namespace(Mutex<IndexMap<String, Value>>);

impl Object for Namespace {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.lock().ok()?.get(key.as_str()?).cloned()
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A namespace that contains itself is already being written.
        match self.0.try_lock() {
            Ok(values) => write!(f, "<Namespace {}>", python::repr(&Value::from_pairs(values.clone()))),
            Err(_) => f.write_str("<Namespace {...}>"),
        }
    }
}

/// Errors for the names that transformers refuses.
fn check_name(name: &str) -> Result<(), Error> {
    match name.starts_with('_') {
        true => {
            Err(python::error(format!("a namespace holds no `{name}`: its names may not begin with `_`")))
        }
        false => Ok(()),
    }
}

/// Takes all values out of a namespace.
fn clear(namespace: &Value) {
    let Some(namespace) = namespace.downcast_object_ref::<Namespace>() else { return };
    drop(namespace.0.lock().map(|mut values| std::mem::take(&mut *values)));
}

pub fn add_to(environment: &mut Environment) {
    environment.add_function("namespace", |arguments: Rest<Value>, named: Kwargs| -> Result<Value, Error> {
        let pairs = functions::pairs("namespace", &arguments, named)?;
        let pairs = pairs.into_iter().map(|(name, value)| (python::str(&name), value));
        let pairs: IndexMap<String, Value> = pairs.collect();
        pairs.keys().try_for_each(|name| check_name(name))?;
        let made = Value::from_object(Namespace(Mutex::new(pairs)));
        bounds::keep_and_clear(&made, Some(clear));
        bounds::check().map(|()| made)
    });
    environment.add_function(SET, |object: &Value, name: &str, value: Value| -> Result<Value, Error> {
        let Some(namespace) = object.downcast_object_ref::<Namespace>() else {
            let kind = python::type_name(object);
            let detail = format!("cannot set `{name}` of a {kind}: only of a namespace()");
            return Err(Error::new(ErrorKind::InvalidOperation, detail));
        };
        check_name(name)?;
        let value = bounds::made(value)?;
        // The value that was there is dropped once the lock is free.
        let _earlier = namespace.0.lock().ok().and_then(|mut values| values.insert(name.to_owned(), value));
        Ok(Value::from(()))
    });
}
