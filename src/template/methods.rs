//! Methods of Python's strings, lists and dictionaries.

use minijinja::{Error, State, Value};
use minijinja_contrib::pycompat;

/// Calls `value.name(arguments)`.
pub fn call(state: &mut State, value: &Value, name: &str, arguments: &[Value]) -> Result<Value, Error> {
    pycompat::unknown_method_callback(state, value, name, arguments)
}
