//! Adds our filters to an environment. Their arguments are bound as Python binds them.

use minijinja::value::{Kwargs, Rest, Value};
use minijinja::{Environment, Error, State};

use super::arguments::Arguments;
use super::bounds;

/// A filter, which gets the value before the `|` and the arguments in parentheses.
pub type Filter = fn(&mut State, &Value, &Arguments) -> Result<Value, Error>;

/// Adds a filter. Arguments that are not among `names` are errors.
pub fn add(
    environment: &mut Environment,
    name: &'static str,
    names: Option<&'static [&'static str]>,
    filter: Filter,
) {
    let bound = move |state: &mut State, value: &Value, positional: Rest<Value>, named: Kwargs| {
        let given = Arguments::of_filter(name, &positional, named);
        if let Some(names) = names {
            given.only(names)?;
        }
        bounds::begin(positional.iter().chain([value]))?;
        bounds::made(filter(state, value, &given)?)
    };
    environment.add_filter(name, bound);
}
