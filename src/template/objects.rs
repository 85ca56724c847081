//! Python's objects that minijinja has no value for: iterables that are not lists, methods that are not
//! called, counters. How views of dictionaries and methods behave is in
//! [`object_impls`](super::object_impls).

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Error, ErrorKind, State};

use super::bounds;

/// What a generator function returns: it can be iterated over once, is always true and has no length.
#[derive(Debug)]
pub struct Generator(Arc<Mutex<std::vec::IntoIter<Value>>>);

impl Generator {
    pub fn value(items: Vec<Value>) -> Value {
        bounds::spend(items.len().saturating_mul(bounds::ITEM));
        Value::from_object(Generator(Arc::new(Mutex::new(items.into_iter()))))
    }
}

/// Takes the remaining items of a generator one by one.
struct Rest(Arc<Mutex<std::vec::IntoIter<Value>>>);

impl Iterator for Rest {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        self.0.lock().ok()?.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.0.lock().map_or((0, None), |items| items.size_hint())
    }
}

impl Object for Generator {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Iter(Box::new(Rest(self.0.clone())))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        None
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<generator object>")
    }
}

/// `dict.keys()` and the like: these have a length and an order, but no index.
#[derive(Debug)]
pub struct DictView {
    /// `dict_keys`, `dict_values` or `dict_items`.
    pub kind: &'static str,
    pub items: Vec<Value>,
}

impl DictView {
    pub fn value(kind: &'static str, items: Vec<Value>) -> Value {
        Value::from_object(DictView { kind, items })
    }
}

/// `range(start, stop, step)`.
#[derive(Debug)]
pub struct Range {
    start: i64,
    stop: i64,
    step: i64,
    pub length: usize,
}

impl Range {
    /// The most numbers that Jinja2's sandbox lets a range have.
    const LONGEST: usize = 100_000;

    /// Errors if the step is 0 or the range too long.
    pub fn value(start: i64, stop: i64, step: i64) -> Result<Value, Error> {
        let error = |what: &str| Err(Error::new(ErrorKind::InvalidOperation, what.to_owned()));
        let span = match step {
            0 => return error("range() arg 3 must not be zero"),
            1.. => i128::from(stop) - i128::from(start),
            _ => i128::from(start) - i128::from(stop),
        };
        let size = i128::from(step.unsigned_abs());
        let length = usize::try_from((span.max(0) + size - 1) / size).unwrap_or(usize::MAX);
        if length > Self::LONGEST {
            return error("range() is too big: a template may count to 100000");
        }
        Ok(Value::from_object(Range { start, stop, step, length }))
    }
}

impl Object for Range {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let index = key.as_usize().filter(|index| *index < self.length)?;
        // The product alone may be past 64 bits.
        Some(Value::from(self.start.wrapping_add((index as i64).wrapping_mul(self.step))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.length)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            1 => write!(f, "range({}, {})", self.start, self.stop),
            step => write!(f, "range({}, {}, {step})", self.start, self.stop),
        }
    }
}

/// A method of a value that is not called yet.
#[derive(Debug)]
pub struct Method {
    pub object: Value,
    pub name: String,
}

/// A group of `groupby`: a pair whose parts have names.
#[derive(Debug)]
pub struct Group {
    pub grouper: Value,
    pub items: Vec<Value>,
}

impl Object for Group {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match (key.as_str(), key.as_usize()) {
            (Some("grouper"), _) | (_, Some(0)) => Some(self.grouper.clone()),
            (Some("list"), _) | (_, Some(1)) => Some(Value::from(self.items.clone())),
            _ => None,
        }
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(2)
    }
}

/// An integer that is too large for minijinja's. It can be printed and compared, but not calculated with.
#[derive(Debug, PartialEq, Eq)]
pub struct BigInteger(pub String);

impl Object for BigInteger {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        true
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `cycler(…)`: one value after another, again and again.
#[derive(Debug)]
pub struct Cycler {
    pub items: Vec<Value>,
    pub at: AtomicUsize,
}

impl Cycler {
    fn current(&self) -> Value {
        self.items.get(self.at.load(Ordering::Relaxed)).cloned().unwrap_or_default()
    }
}

impl Object for Cycler {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        match key.as_str()? {
            "current" => Some(self.current()),
            "items" => Some(Value::from(self.items.clone())),
            "pos" => Some(Value::from(self.at.load(Ordering::Relaxed))),
            _ => None,
        }
    }

    fn call_method(
        self: &Arc<Self>,
        _: &mut State<'_, '_>,
        method: &str,
        _: &[Value],
    ) -> Result<Value, Error> {
        match method {
            "next" | "__next__" => {
                let current = self.current();
                let next = (self.at.load(Ordering::Relaxed) + 1) % self.items.len().max(1);
                self.at.store(next, Ordering::Relaxed);
                Ok(current)
            }
            "reset" => {
                self.at.store(0, Ordering::Relaxed);
                Ok(Value::from(()))
            }
            _ => Err(Error::from(ErrorKind::UnknownMethod)),
        }
    }
}

/// `joiner(separator)`: nothing when it is called first, then the separator.
#[derive(Debug)]
pub struct Joiner {
    pub separator: Value,
    pub used: AtomicUsize,
}

impl Object for Joiner {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, _: &mut State<'_, '_>, _: &[Value]) -> Result<Value, Error> {
        let first = self.used.swap(1, Ordering::Relaxed) == 0;
        Ok(if first { Value::from("") } else { self.separator.clone() })
    }
}
