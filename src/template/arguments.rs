//! Arguments of a call, by position or by name, as Python binds them.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind};

/// The arguments of a call to `name`.
pub struct Arguments<'a> {
    name: &'a str,
    positional: &'a [Value],
    named: Option<Value>,
}

impl<'a> Arguments<'a> {
    pub fn new(name: &'a str, arguments: &'a [Value]) -> Self {
        match arguments.split_last() {
            Some((last, positional)) if last.is_kwargs() => {
                Arguments { name, positional, named: Some(last.clone()) }
            }
            _ => Arguments { name, positional: arguments, named: None },
        }
    }

    /// The arguments of a filter: minijinja gives those by position and those by name separately.
    pub fn of_filter(name: &'a str, positional: &'a [Value], named: Kwargs) -> Self {
        let named = Some(Value::from(named)).filter(|named| named.len() != Some(0));
        Arguments { name, positional, named }
    }

    /// Errors if there are arguments other than those called `names`.
    pub fn only(&self, names: &[&str]) -> Result<(), Error> {
        if self.positional.len() > names.len() {
            let most = names.len();
            return Err(self.error(&format!("takes at most {most} arguments, got {}", self.positional.len())));
        }
        let Some(named) = &self.named else { return Ok(()) };
        for name in named.try_iter()? {
            let name = name.as_str().unwrap_or_default().to_owned();
            match names.iter().position(|known| *known == name) {
                Some(index) if index >= self.positional.len() => {}
                Some(_) => return Err(self.error(&format!("got `{name}` twice"))),
                None => return Err(self.error(&format!("has no argument `{name}`"))),
            }
        }
        Ok(())
    }

    /// The arguments that were given by position.
    pub fn positional(&self) -> &'a [Value] {
        self.positional
    }

    /// The arguments that were given by name, if there are any.
    pub fn named(&self) -> Option<&Value> {
        self.named.as_ref()
    }

    /// The argument at position `index`, or else the one called `name`.
    pub fn get(&self, index: usize, name: &str) -> Option<Value> {
        let by_name = || self.named.as_ref().and_then(|named| named.get_attr(name).ok());
        let value = self.positional.get(index).cloned().or_else(by_name);
        value.filter(|value| !value.is_undefined())
    }

    /// The same, except that a `None` counts as an argument that was not given.
    pub fn given(&self, index: usize, name: &str) -> Option<Value> {
        self.get(index, name).filter(|value| !value.is_none())
    }

    pub fn string(&self, index: usize, name: &str) -> Result<Option<String>, Error> {
        self.given(index, name)
            .map(|value| match value.as_str() {
                Some(text) => Ok(text.to_owned()),
                None => Err(self.error(&format!("`{name}` must be a string"))),
            })
            .transpose()
    }

    pub fn required_string(&self, index: usize, name: &str) -> Result<String, Error> {
        self.string(index, name)?.ok_or_else(|| self.error(&format!("`{name}` is missing")))
    }

    pub fn integer(&self, index: usize, name: &str) -> Result<Option<i64>, Error> {
        self.given(index, name)
            .map(|value| match value.as_i64() {
                Some(number) => Ok(number),
                None if value.kind() == ValueKind::Bool => Ok(i64::from(value.is_true())),
                None => Err(self.error(&format!("`{name}` must be an integer"))),
            })
            .transpose()
    }

    /// Whether an argument is given and true.
    pub fn is_true(&self, index: usize, name: &str) -> bool {
        self.get(index, name).is_some_and(|value| value.is_true())
    }

    pub fn error(&self, what: &str) -> Error {
        Error::new(ErrorKind::InvalidOperation, format!("{}() {what}", self.name))
    }
}
