//! Python's operators, as filters that [`writer`](super::writer) puts in their place.

use std::cmp::Ordering;

use minijinja::value::{Rest, Tuple, Value};
use minijinja::{Environment, Error};

use super::bounds;
use super::comparison::{Number, contains, equal, integer, order, unsupported};
use super::python::{self, error, type_name};
use super::{markup, printf};

/// An operator between two values.
type Operator = fn(&Value, &Value) -> Result<Value, Error>;

pub fn add_to(environment: &mut Environment) {
    let binary: [(&'static str, Operator); 14] = [
        ("__add__", add),
        ("__sub__", |a, b| arithmetic("-", a, b, i128::checked_sub, |a, b| a - b)),
        ("__mul__", multiply),
        ("__truediv__", divide),
        ("__floordiv__", |a, b| divided("//", a, b, floor_divide, |a, b| (a / b).floor())),
        ("__mod__", modulo),
        ("__pow__", power),
        ("__eq__", |a, b| Ok(Value::from(equal(a, b)))),
        ("__ne__", |a, b| Ok(Value::from(!equal(a, b)))),
        ("__lt__", |a, b| compared("<", a, b, Ordering::is_lt)),
        ("__le__", |a, b| compared("<=", a, b, Ordering::is_le)),
        ("__gt__", |a, b| compared(">", a, b, Ordering::is_gt)),
        ("__ge__", |a, b| compared(">=", a, b, Ordering::is_ge)),
        ("__in__", |a, b| contains(b, a).map(Value::from)),
    ];
    for (name, operator) in binary {
        environment.add_filter(name, move |a: &Value, b: &Value| {
            bounds::begin([a, b])?;
            bounds::made(operator(a, b)?)
        });
    }
    environment.add_filter("__concat__", |first: &Value, others: Rest<Value>| -> Result<String, Error> {
        let texts = others.iter().chain([first]).filter_map(Value::as_str);
        bounds::make_text(texts.map(str::len).sum())?;
        let text = others.iter().fold(python::str(first), |text, value| text + &python::str(value));
        bounds::check().map(|()| text)
    });
    environment.add_filter("__neg__", |value: &Value| {
        arithmetic("-", &Value::from(0), value, i128::checked_sub, |_, b| -b)
    });
    environment.add_filter("__pos__", |value: &Value| {
        arithmetic("+", &Value::from(0), value, i128::checked_add, |_, b| b)
    });
}

fn too_large(operator: &str) -> Error {
    error(format!("the result of `{operator}` is past 128 bits"))
}

fn arithmetic(
    operator: &str,
    a: &Value,
    b: &Value,
    integers: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Integer(a)), Some(Number::Integer(b))) => {
            integers(a, b).map(integer).ok_or_else(|| too_large(operator))
        }
        (Some(a), Some(b)) => Ok(Value::from(floats(a.float(), b.float()))),
        _ => Err(unsupported(operator, a, b)),
    }
}

/// `a + b`.
pub fn add(a: &Value, b: &Value) -> Result<Value, Error> {
    if let (Some(left), Some(right)) = (a.as_str(), b.as_str()) {
        return Ok(match (a.is_safe(), b.is_safe()) {
            (false, false) => Value::from(format!("{left}{right}")),
            (true, false) => Value::from_safe_string(format!("{left}{}", markup::escaped(right))),
            (false, true) => Value::from_safe_string(format!("{}{right}", markup::escaped(left))),
            (true, true) => Value::from_safe_string(format!("{left}{right}")),
        });
    }
    let kind = type_name(a);
    if kind == type_name(b) && matches!(kind, "list" | "tuple") {
        bounds::make_items(a.len().unwrap_or(0) + b.len().unwrap_or(0))?;
        let items: Vec<Value> = a.try_iter()?.chain(b.try_iter()?).collect();
        return Ok(if kind == "list" { Value::from(items) } else { Value::from(Tuple::from(items)) });
    }
    arithmetic("+", a, b, i128::checked_add, |a, b| a + b)
}

/// The most bytes or items that a repetition may have.
const LONGEST: usize = 1 << 24;

fn multiply(a: &Value, b: &Value) -> Result<Value, Error> {
    let repeated = |value: &Value, times: i128| {
        let times = usize::try_from(times.max(0)).unwrap_or(usize::MAX);
        let length = value.as_str().map_or_else(|| value.len().unwrap_or(0), str::len);
        if length.saturating_mul(times) > LONGEST {
            return Err(error("`*` repeats a value too often"));
        }
        Ok(match (value.as_str(), type_name(value)) {
            (Some(text), "Markup") => Value::from_safe_string(text.repeat(times)),
            (Some(text), _) => Value::from(text.repeat(times)),
            (None, kind) => {
                bounds::make_items(length.saturating_mul(times))?;
                let items: Vec<Value> = value.try_iter()?.collect();
                let repeats = if items.is_empty() { 0 } else { times };
                let items: Vec<Value> = std::iter::repeat_n(items, repeats).flatten().collect();
                if kind == "tuple" { Value::from(Tuple::from(items)) } else { Value::from(items) }
            }
        })
    };
    let repeatable = |value: &Value| matches!(type_name(value), "str" | "Markup" | "list" | "tuple");
    match (Number::of(a), Number::of(b)) {
        (None, Some(Number::Integer(times))) if repeatable(a) => repeated(a, times),
        (Some(Number::Integer(times)), None) if repeatable(b) => repeated(b, times),
        _ => arithmetic("*", a, b, i128::checked_mul, |a, b| a * b),
    }
}

fn divide(a: &Value, b: &Value) -> Result<Value, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(_), Some(b)) if b.float() == 0.0 => Err(error("division by zero")),
        (Some(a), Some(b)) => Ok(Value::from(a.float() / b.float())),
        _ => Err(unsupported("/", a, b)),
    }
}

fn floor_divide(a: i128, b: i128) -> Option<i128> {
    let quotient = a.checked_div(b)?;
    Some(if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient })
}

fn floor_rest(a: i128, b: i128) -> Option<i128> {
    let rest = a.checked_rem(b)?;
    Some(if rest != 0 && (rest < 0) != (b < 0) { rest + b } else { rest })
}

fn divided(
    operator: &str,
    a: &Value,
    b: &Value,
    integers: fn(i128, i128) -> Option<i128>,
    floats: fn(f64, f64) -> f64,
) -> Result<Value, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(_), Some(b)) if b.float() == 0.0 => Err(error("division by zero")),
        _ => arithmetic(operator, a, b, integers, floats),
    }
}

fn modulo(a: &Value, b: &Value) -> Result<Value, Error> {
    match a.as_str() {
        Some(text) if a.is_safe() => printf::format_safe(text, b).map(Value::from_safe_string),
        Some(text) => printf::format(text, b).map(Value::from),
        None => divided("%", a, b, floor_rest, |a, b| {
            let rest = a % b;
            if rest != 0.0 && (rest < 0.0) != (b < 0.0) { rest + b } else { rest }
        }),
    }
}

fn power(a: &Value, b: &Value) -> Result<Value, Error> {
    match (Number::of(a), Number::of(b)) {
        (Some(Number::Integer(base)), Some(Number::Integer(exponent))) if exponent >= 0 => {
            let exponent = u32::try_from(exponent).ok();
            let power = match (base, exponent) {
                (0 | 1, None) => Some(base),
                (_, Some(exponent)) => base.checked_pow(exponent),
                _ => None,
            };
            power.map(integer).ok_or_else(|| too_large("**"))
        }
        (Some(base), Some(exponent)) => {
            let (base, exponent) = (base.float(), exponent.float());
            if base == 0.0 && exponent < 0.0 {
                return Err(error("0 cannot be raised to a negative power"));
            }
            let power = base.powf(exponent);
            if power.is_nan() && !base.is_nan() && !exponent.is_nan() {
                return Err(error("the result of `**` is no real number"));
            }
            if power.is_infinite() && base.is_finite() && exponent.is_finite() {
                return Err(error("the result of `**` is too large"));
            }
            Ok(Value::from(power))
        }
        _ => Err(unsupported("**", a, b)),
    }
}

fn compared(operator: &str, a: &Value, b: &Value, is: fn(Ordering) -> bool) -> Result<Value, Error> {
    Ok(Value::from(order(operator, a, b)?.is_some_and(is)))
}
