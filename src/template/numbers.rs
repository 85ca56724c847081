//! Jinja2's filters that read numbers and round them.

use minijinja::Error;
use minijinja::value::Value;

use super::arguments::Arguments;
use super::comparison::{Number, integer};
use super::objects::BigInteger;
use super::python::{self, error, type_name};
use super::spaces;

pub fn int(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    python::defined(value)?;
    if value.downcast_object_ref::<BigInteger>().is_some() {
        return Ok(value.clone());
    }
    let base = arguments.integer(1, "base")?.unwrap_or(10);
    let read = match (value.as_str(), Number::of(value)) {
        (Some(text), _) => match whole_number(text, base) {
            Some(digits) if digits.parse::<i128>().is_err() => {
                return Ok(Value::from_object(BigInteger(digits)));
            }
            digits => digits.and_then(|digits| digits.parse().ok()),
        },
        (_, Some(Number::Integer(number))) => Some(number),
        (_, Some(Number::Float(number))) if number.is_finite() => Some(number.trunc() as i128),
        _ => None,
    };
    Ok(read.map(integer).or_else(|| arguments.get(0, "default")).unwrap_or_else(|| Value::from(0)))
}

/// `int(text, base)`, or if that fails `int(float(text))`, as decimal digits.
fn whole_number(text: &str, base: i64) -> Option<String> {
    let text = spaces::strip(text);
    let unsigned = text.trim_start_matches(['-', '+']);
    let sign = &text[..text.len() - unsigned.len()];
    let head = unsigned.get(..2).unwrap_or_default().to_ascii_lowercase();
    let radix = match (base, head.as_str()) {
        (0 | 16, "0x") => Some(16),
        (0 | 8, "0o") => Some(8),
        (0 | 2, "0b") => Some(2),
        _ => None,
    };
    let digits = if radix.is_some() { &unsigned[2..] } else { unsigned };
    let radix = radix.or_else(|| u32::try_from(if base == 0 { 10 } else { base }).ok())?;
    let well_grouped = !digits.starts_with('_') && !digits.ends_with('_') && !digits.contains("__");
    let plain = digits.replace('_', "");
    let negative = if sign == "-" { "-" } else { "" };
    let is_number = (2..=36).contains(&radix)
        && well_grouped
        && !plain.is_empty()
        && plain.chars().all(|c| c.is_digit(radix))
        && sign.len() < 2;
    if is_number && radix == 10 {
        let digits = plain.trim_start_matches('0');
        return Some(if digits.is_empty() { "0".into() } else { format!("{negative}{digits}") });
    }
    if is_number {
        return i128::from_str_radix(&format!("{negative}{plain}"), radix)
            .ok()
            .map(|number| number.to_string());
    }
    python_float(text).filter(|number| number.is_finite()).map(|number| format!("{:.0}", number.trunc()))
}

/// `float(text)`.
fn python_float(text: &str) -> Option<f64> {
    let text = spaces::strip(text);
    let well_grouped = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    text.replace('_', "").parse().ok().filter(|_| well_grouped)
}

pub fn float(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    python::defined(value)?;
    let read = match value.as_str() {
        Some(text) => python_float(text),
        None => Number::of(value).map(Number::float),
    };
    let default = || arguments.get(0, "default").unwrap_or_else(|| Value::from(0.0));
    Ok(read.map_or_else(default, Value::from))
}

pub fn abs(value: &Value) -> Result<Value, Error> {
    match Number::of(value) {
        Some(Number::Integer(number)) => Ok(integer(number.saturating_abs())),
        Some(Number::Float(number)) => Ok(Value::from(number.abs())),
        None => Err(error(format!("abs() takes a number, not `{}`", type_name(value)))),
    }
}

pub fn round(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let precision = arguments.integer(0, "precision")?.unwrap_or(0);
    let method = arguments.string(1, "method")?.unwrap_or_else(|| "common".into());
    let Some(number) = Number::of(value) else {
        return Err(error(format!("round() takes a number, not `{}`", type_name(value))));
    };
    let scale = 10f64.powi(precision.clamp(-400, 400) as i32);
    match (method.as_str(), number) {
        ("common", Number::Integer(number)) if precision >= 0 => Ok(integer(number)),
        ("common", Number::Integer(number)) => {
            let Some(unit) = 10i128.checked_pow(precision.unsigned_abs().min(99) as u32) else {
                return Ok(Value::from(0));
            };
            let (down, rest) = (number.div_euclid(unit), number.rem_euclid(unit));
            let up = rest > unit - rest || (rest == unit - rest && down % 2 != 0);
            let rounded = (down + i128::from(up)).checked_mul(unit);
            rounded.map(integer).ok_or_else(|| error("the result of round() is past 128 bits"))
        }
        ("common", Number::Float(number)) if precision >= 0 => {
            // Rust's formatting rounds the exact value, ties to even, as Python's `round` does.
            let digits = precision.min(400) as usize;
            Ok(Value::from(format!("{number:.digits$}").parse::<f64>().unwrap_or(number)))
        }
        ("common", Number::Float(number)) => Ok(Value::from((number * scale).round_ties_even() / scale)),
        ("ceil", number) => Ok(Value::from((number.float() * scale).ceil() / scale)),
        ("floor", number) => Ok(Value::from((number.float() * scale).floor() / scale)),
        _ => Err(arguments.error("knows the methods common, ceil and floor")),
    }
}

pub fn filesizeformat(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let binary = arguments.is_true(0, "binary");
    let bytes = float(value, arguments_of_none())?;
    let bytes = Number::of(&bytes).map_or(0.0, Number::float);
    let base: f64 = if binary { 1024.0 } else { 1000.0 };
    if bytes == 1.0 {
        return Ok(Value::from("1 Byte"));
    }
    if bytes < base {
        return Ok(Value::from(format!("{bytes:.0} Bytes")));
    }
    let mut unit = base;
    let units = ["k", "M", "G", "T", "P", "E", "Z", "Y"];
    for (index, name) in units.into_iter().enumerate() {
        unit *= base;
        if bytes < unit || index + 1 == units.len() {
            let name = if binary { format!("{}iB", name.to_uppercase()) } else { format!("{name}B") };
            return Ok(Value::from(format!("{:.1} {name}", base * bytes / unit)));
        }
    }
    Ok(Value::from(""))
}

/// No arguments.
fn arguments_of_none() -> &'static Arguments<'static> {
    static NONE: std::sync::LazyLock<Arguments<'static>> =
        std::sync::LazyLock::new(|| Arguments::new("", &[]));
    &NONE
}
