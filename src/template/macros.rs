//! Macros as Python calls them: arguments that are not given differ from those that are given an undefined
//! value, and `varargs` and `kwargs` hold what a call gives beyond the declared arguments.
//!
//! minijinja's own macros do neither, so a macro with defaults, or one that reads `varargs` or
//! `kwargs`, is wrapped: what is not given is [`Missing`], for which the macro's body sets the default.

use std::sync::Arc;

use minijinja::value::{Kwargs, Object, ObjectRepr, Tuple, Value};
use minijinja::{Environment, Error, State};

use super::bounds;
use super::python::error;

/// The function that such a macro is wrapped by. Its arguments are the macro, the names of the macro's
/// arguments, whether some have defaults, and whether the macro takes more than those.
pub const FUNCTION: &str = "__macro__";

/// The test that tells whether an argument was not given.
pub const MISSING: &str = "__missing__";

#[derive(Debug)]
struct Missing;

impl Object for Missing {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }
}

#[derive(Debug)]
struct Macro {
    inner: Value,
    names: Vec<String>,
    defaults: bool,
    variadic: bool,
}

impl Object for Macro {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        if key.as_str() == Some("arguments") {
            return Some(Value::from(Tuple::from(self.names.iter().map(Value::from).collect::<Vec<_>>())));
        }
        self.inner.get_item(key).ok().filter(|value| !value.is_undefined())
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, arguments: &[Value]) -> Result<Value, Error> {
        let (positional, named) = match arguments.split_last() {
            Some((last, positional)) if last.is_kwargs() => (positional, Some(last)),
            _ => (arguments, None),
        };
        let own = positional.len().min(self.names.len());
        let mut given: Vec<(String, Value)> = Vec::new();
        let mut more: Vec<(Value, Value)> = Vec::new();
        for key in named.map(Value::try_iter).transpose()?.into_iter().flatten() {
            let name = key.as_str().unwrap_or_default();
            let value = named.map(|named| named.get_item(&key)).transpose()?.unwrap_or_default();
            match self.names.iter().position(|own| own == name) {
                Some(index) if index < own => return Err(error(format!("a macro is given `{name}` twice"))),
                Some(_) => given.push((name.to_owned(), value)),
                None if name == "caller" => given.push((name.to_owned(), value)),
                None if self.variadic => more.push((key, value)),
                None => return Err(error(format!("a macro has no argument `{name}`"))),
            }
        }
        if self.variadic {
            let varargs = Value::from(Tuple::from(&positional[own..]));
            given.push(("varargs".into(), bounds::made(varargs)?));
            given.push(("kwargs".into(), bounds::made(Value::from_pairs(more))?));
        } else if positional.len() > own {
            return Err(error(format!("a macro takes at most {own} arguments, got {}", positional.len())));
        }
        for name in self.names[own..].iter().filter(|_| self.defaults) {
            if !given.iter().any(|(named, _)| named == name) {
                given.push((name.clone(), Value::from_object(Missing)));
            }
        }
        let mut arguments = positional[..own].to_vec();
        arguments.push(Value::from(given.into_iter().collect::<Kwargs>()));
        self.inner.call(state, &arguments)
    }
}

pub fn add_to(environment: &mut Environment) {
    environment.add_function(FUNCTION, |inner: Value, names: Vec<String>, defaults: bool, variadic: bool| {
        Value::from_object(Macro { inner, names, defaults, variadic })
    });
    environment.add_test(MISSING, |value: &Value| value.downcast_object_ref::<Missing>().is_some());
}
