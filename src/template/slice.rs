//! Python's slices.

use minijinja::value::{Tuple, ValueKind};
use minijinja::{Error, ErrorKind, Value};

use super::arguments::Arguments;
use super::python;

/// `value[start:stop:step]`. Bounds that are left out are `None`.
pub fn slice(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let (start, stop) = (arguments.integer(0, "start")?, arguments.integer(1, "stop")?);
    let step = arguments.integer(2, "step")?.unwrap_or(1);
    if step == 0 {
        return Err(Error::new(ErrorKind::InvalidOperation, "slice step cannot be zero"));
    }
    python::defined(value)?;
    if let Some(text) = value.as_str() {
        let characters: Vec<char> = text.chars().collect();
        let taken = indices(characters.len(), start, stop, step);
        let text = taken.map(|index| characters[index]).collect::<String>();
        return Ok(if value.is_safe() { Value::from_safe_string(text) } else { Value::from(text) });
    }
    let kind = python::type_name(value);
    if value.kind() != ValueKind::Seq {
        return Err(Error::new(ErrorKind::InvalidOperation, format!("`{kind}` cannot be sliced")));
    }
    let items: Vec<Value> = value.try_iter()?.collect();
    let taken = indices(items.len(), start, stop, step).map(|index| items[index].clone());
    let taken: Vec<Value> = taken.collect();
    Ok(if kind == "tuple" { Value::from(Tuple::from(taken)) } else { Value::from(taken) })
}

/// Indices into `length` items, in order: CPython's `PySlice_AdjustIndices`.
fn indices(length: usize, start: Option<i64>, stop: Option<i64>, step: i64) -> impl Iterator<Item = usize> {
    let length = length as i64;
    let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
    let place = |bound: i64| {
        let bound = if bound < 0 { bound.saturating_add(length) } else { bound };
        bound.clamp(low, high)
    };
    let start = start.map_or(if step > 0 { low } else { high }, place);
    let stop = stop.map_or(if step > 0 { high } else { low }, place);
    let next = move |index: &i64| index.checked_add(step);
    std::iter::successors(Some(start), next)
        .take_while(move |index| if step > 0 { *index < stop } else { *index > stop })
        .map(|index| index as usize)
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    /// Expected values: `list(range(n))[start:stop:step]` of CPython 3.12.
    #[test]
    fn indices_are_python_s() {
        let taken = |length, start, stop, step| indices(length, start, stop, step).collect::<Vec<usize>>();
        assert_eq!(taken(5, None, None, -1), [4, 3, 2, 1, 0]);
        assert!(taken(0, None, None, -1).is_empty());
        assert_eq!(taken(5, Some(2), Some(0), -1), [2, 1]);
        assert_eq!(taken(5, Some(-1), Some(-3), -1), [4, 3]);
        assert_eq!(taken(5, Some(-100), Some(100), 2), [0, 2, 4]);
        assert!(taken(5, Some(3), Some(1), 1).is_empty());
        assert_eq!(taken(5, Some(i64::MIN), Some(i64::MAX), i64::MAX), [0]);
    }
}
