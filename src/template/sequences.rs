//! Jinja2's filters of sequences. What is a generator in Jinja2 is one here: always true, without a length,
//! and empty after it was iterated over.

use std::cmp::Ordering;

use minijinja::value::{Object, Tuple, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::arguments::Arguments;
use super::bounds;
use super::comparison::{Number, equal, order};
use super::lookup;
use super::objects::{Generator, Group};
use super::operators::add as plus;
use super::python::{self, entries, error, type_name};
use super::registration::add;

pub fn add_to(environment: &mut Environment) {
    add(environment, "map", None, map);
    add(environment, "select", None, |state, value, given| selected(state, value, given, false, true));
    add(environment, "reject", None, |state, value, given| selected(state, value, given, false, false));
    add(environment, "selectattr", None, |state, value, given| selected(state, value, given, true, true));
    add(environment, "rejectattr", None, |state, value, given| selected(state, value, given, true, false));
    let names: &[&str] = &["reverse", "case_sensitive", "attribute"];
    add(environment, "sort", Some(names), |_, value, given| sort(value, given));
    let names: &[&str] = &["case_sensitive", "by", "reverse"];
    add(environment, "dictsort", Some(names), |_, value, given| dictsort(value, given));
    let names: &[&str] = &["case_sensitive", "attribute"];
    add(environment, "unique", Some(names), |_, value, given| unique(value, given));
    add(environment, "min", Some(names), |_, value, given| extreme(value, given, Ordering::Less));
    add(environment, "max", Some(names), |_, value, given| extreme(value, given, Ordering::Greater));
    let names: &[&str] = &["attribute", "default", "case_sensitive"];
    add(environment, "groupby", Some(names), |_, value, given| groupby(value, given));
    add(environment, "sum", Some(&["attribute", "start"]), |_, value, given| sum(value, given));
    add(environment, "batch", Some(&["linecount", "fill_with"]), |_, value, given| batch(value, given));
    add(environment, "slice", Some(&["slices", "fill_with"]), |_, value, given| slice(value, given));
}

pub fn join(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let attribute = arguments.given(1, "attribute");
    let mut texts = Vec::new();
    for item in python::iterate(value)? {
        texts.push(python::str(&match &attribute {
            Some(path) => at_path(&item, path)?,
            None => item,
        }));
    }
    let separator = arguments.get(0, "d").map_or(String::new(), |separator| python::str(&separator));
    bounds::make_text(texts.len().saturating_mul(separator.len()))?;
    Ok(Value::from(texts.join(&separator)))
}

pub fn first(value: &Value) -> Result<Value, Error> {
    if value.kind() == ValueKind::Iterable {
        return Ok(value.try_iter()?.next().unwrap_or_default());
    }
    Ok(python::iterate(value)?.into_iter().next().unwrap_or_default())
}

pub fn last(value: &Value) -> Result<Value, Error> {
    if value.downcast_object_ref::<Generator>().is_some() {
        return Err(error("a generator has no last item; put `list` before"));
    }
    Ok(python::iterate(value)?.pop().unwrap_or_default())
}

pub fn reverse(value: &Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return Ok(Value::from(text.chars().rev().collect::<String>()));
    }
    let mut items = python::iterate(value)?;
    items.reverse();
    match value.downcast_object_ref::<Generator>() {
        Some(_) => Ok(Value::from(items)),
        None => Ok(Generator::value(items)),
    }
}

/// The value at a dotted path, or at an index.
fn at_path(value: &Value, path: &Value) -> Result<Value, Error> {
    at_path_or(value, path, None)
}

/// The same, except that each step which finds nothing gives `default`.
fn at_path_or(value: &Value, path: &Value, default: Option<&Value>) -> Result<Value, Error> {
    let found = |value: &Value, key: &Value| {
        let found = lookup::item(value, key)?;
        Ok(if found.is_undefined() { default.cloned().unwrap_or(found) } else { found })
    };
    let Some(path) = path.as_str() else { return found(value, path) };
    path.split('.').try_fold(value.clone(), |value, part| match part.parse::<usize>() {
        Ok(index) => found(&value, &Value::from(index)),
        Err(_) => found(&value, &Value::from(part)),
    })
}

/// A text in lower case, unless `case_sensitive` is set; other values as they are.
fn folded(value: Value, case_sensitive: bool) -> Value {
    match value.as_str() {
        Some(text) if !case_sensitive => Value::from(text.to_lowercase()),
        _ => value,
    }
}

fn map(state: &mut State, value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let mut mapped = Vec::new();
    // A value that is not true, such as `None`, has no items.
    if !value.is_true() {
        return Ok(Generator::value(mapped));
    }
    match arguments.positional() {
        [] => {
            arguments.only(&["attribute", "default"])?;
            let Some(path) = arguments.get(0, "attribute") else {
                return Err(arguments.error("needs a filter's name or an `attribute`"));
            };
            let default = arguments.given(1, "default");
            for item in python::iterate(value)? {
                mapped.push(at_path_or(&item, &path, default.as_ref())?);
            }
        }
        [name, others @ ..] => {
            let name = python::str(name);
            for item in python::iterate(value)? {
                let given =
                    [item].into_iter().chain(others.iter().cloned()).chain(arguments.named().cloned());
                mapped.push(state.apply_filter(&name, &given.collect::<Vec<Value>>())?);
            }
        }
    }
    Ok(Generator::value(mapped))
}

/// The items that pass a test (or do not pass it). The test is applied to an attribute of the item, or to
/// the item itself.
fn selected(
    state: &mut State,
    value: &Value,
    arguments: &Arguments,
    by_attribute: bool,
    wanted: bool,
) -> Result<Value, Error> {
    // What is not true, `None` too, has no items.
    if !value.is_true() {
        return Ok(Generator::value(Vec::new()));
    }
    let mut given = arguments.positional().iter();
    let path = if by_attribute {
        let path = given.next().ok_or_else(|| arguments.error("needs the name of an attribute"))?;
        Some(path)
    } else {
        None
    };
    let test = given.next().map(python::str);
    let others: Vec<Value> = given.cloned().chain(arguments.named().cloned()).collect();
    let mut kept = Vec::new();
    for item in python::iterate(value)? {
        let subject = match path {
            Some(path) => at_path(&item, path)?,
            None => item.clone(),
        };
        let passes = match &test {
            Some(test) => {
                let given: Vec<Value> = [subject].into_iter().chain(others.iter().cloned()).collect();
                state.perform_test(test, &given)?
            }
            None => subject.is_true(),
        };
        if passes == wanted {
            kept.push(item);
        }
    }
    Ok(Generator::value(kept))
}

/// Sorts items by their keys. Items with equal keys keep their order. Errors if two keys cannot be
/// compared.
fn sorted(mut keyed: Vec<(Value, Value)>, reverse: bool) -> Result<Vec<Value>, Error> {
    let mut failed = None;
    keyed.sort_by(|(a, _), (b, _)| {
        let order = match order("<", a, b) {
            Ok(order) => order.unwrap_or(Ordering::Equal),
            Err(error) => {
                failed.get_or_insert(error);
                Ordering::Equal
            }
        };
        if reverse { order.reverse() } else { order }
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
    }
}

fn sort(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let case_sensitive = arguments.is_true(1, "case_sensitive");
    let attribute = arguments.given(2, "attribute");
    let paths: Vec<Value> = match attribute.as_ref().and_then(Value::as_str) {
        Some(paths) => paths.split(',').map(Value::from).collect(),
        None => attribute.into_iter().collect(),
    };
    let mut keyed = Vec::new();
    for item in python::iterate(value)? {
        let keys: Result<Vec<Value>, Error> =
            paths.iter().map(|path| Ok(folded(at_path(&item, path)?, case_sensitive))).collect();
        let key = if paths.is_empty() { folded(item.clone(), case_sensitive) } else { Value::from(keys?) };
        keyed.push((key, item));
    }
    sorted(keyed, arguments.is_true(0, "reverse")).map(Value::from)
}

fn dictsort(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let case_sensitive = arguments.is_true(0, "case_sensitive");
    let by = arguments.string(1, "by")?.unwrap_or_else(|| "key".into());
    if !matches!(by.as_str(), "key" | "value") {
        return Err(arguments.error("sorts by `key` or by `value`"));
    }
    if value.kind() != ValueKind::Map {
        return Err(error(format!("dictsort() takes a dictionary, not `{}`", type_name(value))));
    }
    let entries = entries(value)?.into_iter();
    let keyed = entries.map(|(key, item)| {
        let sorts = if by == "key" { key.clone() } else { item.clone() };
        (folded(sorts, case_sensitive), Value::from(Tuple::from([key, item])))
    });
    sorted(keyed.collect(), arguments.is_true(2, "reverse")).map(Value::from)
}

fn unique(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let mut seen: Vec<Value> = Vec::new();
    let mut kept = Vec::new();
    for (key, item) in keyed(value, arguments)? {
        if matches!(type_name(&key), "list" | "dict") {
            return Err(arguments.error(&format!("cannot compare values of type `{}`", type_name(&key))));
        }
        // Each item is compared with all before it: past a bound, not even that goes on.
        bounds::check()?;
        if !seen.iter().any(|other| equal(other, &key)) {
            seen.push(key);
            kept.push(item);
        }
    }
    Ok(Generator::value(kept))
}

/// Items with the keys that they are compared by, as the arguments `case_sensitive` and `attribute` have
/// it.
fn keyed(value: &Value, arguments: &Arguments) -> Result<Vec<(Value, Value)>, Error> {
    let case_sensitive = arguments.is_true(0, "case_sensitive");
    let attribute = arguments.given(1, "attribute");
    let keyed = python::iterate(value)?.into_iter().map(|item| {
        let key = match &attribute {
            Some(path) => at_path(&item, path)?,
            None => item.clone(),
        };
        Ok((folded(key, case_sensitive), item))
    });
    keyed.collect()
}

fn extreme(value: &Value, arguments: &Arguments, wanted: Ordering) -> Result<Value, Error> {
    let mut best: Option<(Value, Value)> = None;
    for (key, item) in keyed(value, arguments)? {
        let better = match &best {
            Some((best, _)) => order("<", &key, best)? == Some(wanted),
            None => true,
        };
        if better {
            best = Some((key, item));
        }
    }
    Ok(best.map(|(_, item)| item).unwrap_or_default())
}

fn groupby(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let path = arguments.get(0, "attribute").ok_or_else(|| arguments.error("needs an `attribute`"))?;
    let default = arguments.given(1, "default");
    let case_sensitive = arguments.is_true(2, "case_sensitive");
    let mut keyed = Vec::new();
    for item in python::iterate(value)? {
        let own = at_path_or(&item, &path, default.as_ref())?;
        let pair = Value::from(Tuple::from([own.clone(), item]));
        keyed.push((folded(own, case_sensitive), pair));
    }
    let mut groups: Vec<(Value, Group)> = Vec::new();
    for pair in sorted(keyed, false)? {
        let (own, item) = (pair.get_item(&Value::from(0))?, pair.get_item(&Value::from(1))?);
        let key = folded(own.clone(), case_sensitive);
        match groups.last_mut().filter(|(last, _)| equal(last, &key)) {
            Some((_, group)) => group.items.push(item),
            None => groups.push((key, Group { grouper: own, items: vec![item] })),
        }
    }
    Ok(groups.into_iter().map(|(_, group)| object(group)).collect())
}

fn object(object: impl Object + 'static) -> Value {
    Value::from_object(object)
}

fn sum(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let attribute = arguments.given(0, "attribute");
    let mut total = arguments.get(1, "start").unwrap_or_else(|| Value::from(0));
    for item in python::iterate(value)? {
        let item = match &attribute {
            Some(path) => at_path(&item, path)?,
            None => item,
        };
        if item.as_str().is_some() && Number::of(&total).is_none() {
            return Err(arguments.error("does not add strings; use `join`"));
        }
        total = plus(&total, &item)?;
    }
    Ok(total)
}

fn positive(arguments: &Arguments, name: &str) -> Result<usize, Error> {
    let count = arguments.integer(0, name)?.and_then(|count| usize::try_from(count).ok());
    count.filter(|count| *count > 0).ok_or_else(|| arguments.error(&format!("needs a `{name}` above 0")))
}

fn batch(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let count = positive(arguments, "linecount")?;
    let fill = arguments.given(1, "fill_with");
    let items = python::iterate(value)?;
    let batches = items.chunks(count).map(|batch| {
        let mut batch = batch.to_vec();
        if let Some(fill) = &fill {
            batch.resize(count.min(1 << 16).max(batch.len()), fill.clone());
        }
        Value::from(batch)
    });
    Ok(Generator::value(batches.collect()))
}

fn slice(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let count = positive(arguments, "slices")?.min(1 << 16);
    let fill = arguments.given(1, "fill_with");
    let items = python::iterate(value)?;
    bounds::make_items(count)?;
    let (each, longer) = (items.len() / count, items.len() % count);
    let mut at = 0;
    let slices = (0..count).map(|index| {
        let length = each + usize::from(index < longer);
        let mut slice = items[at..at + length].to_vec();
        at += length;
        if let Some(fill) = fill.as_ref().filter(|_| index >= longer) {
            slice.push(fill.clone());
        }
        Value::from(slice)
    });
    Ok(Generator::value(slices.collect()))
}
