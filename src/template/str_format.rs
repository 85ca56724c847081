//! Python's `"…".format(values)`.

use minijinja::Error;
use minijinja::value::Value;

use super::arguments::Arguments;
use super::comparison::{Number, value_of};
use super::lookup;
use super::python::{self, error, type_name};
use super::spec::{Spec, leading, radix};

/// `format.format(*positional, **named)`. `convert` is applied to each value that is put in.
pub fn str_format(
    format: &str,
    arguments: &Arguments,
    convert: impl Fn(&Value) -> Result<Value, Error>,
) -> Result<String, Error> {
    fields(format, arguments, &convert, &mut 0, 0)
}

/// The same, where `automatic` counts the fields without a name and `depth` is how deep fields are nested.
fn fields(
    format: &str,
    arguments: &Arguments,
    convert: &dyn Fn(&Value) -> Result<Value, Error>,
    automatic: &mut usize,
    depth: usize,
) -> Result<String, Error> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..at + 1];
        rest = &rest[at + 1..];
        if rest.starts_with(brace) {
            out.push_str(brace);
            rest = &rest[1..];
            continue;
        }
        let end = field_length(rest).filter(|_| brace == "{");
        let Some(end) = end else { return Err(error(format!("format() finds a single `{brace}`"))) };
        let field = &rest[..end];
        rest = &rest[end + 1..];
        if depth > 1 {
            return Err(error("format() finds fields nested too deeply"));
        }
        let (field, spec) = field.split_once(':').unwrap_or((field, ""));
        let (field, conversion) = field.split_once('!').unwrap_or((field, ""));
        let path = field.find(['.', '[']).unwrap_or(field.len());
        let name = match &field[..path] {
            "" => {
                *automatic += 1;
                (*automatic - 1).to_string()
            }
            name => name.to_owned(),
        };
        let found = match name.parse::<usize>() {
            Ok(index) => arguments.positional().get(index).cloned(),
            Err(_) => arguments.named().and_then(|named| value_of(named, &Value::from(name.as_str()))),
        };
        let mut value = found.ok_or_else(|| error(format!("format() is given no `{name}`")))?;
        let mut steps = &field[path..];
        while !steps.is_empty() {
            let (key, after) = match steps.strip_prefix('[') {
                Some(inner) => {
                    inner.split_once(']').ok_or_else(|| error("format() finds a `[` that is not closed"))?
                }
                None => {
                    let inner = &steps[1..];
                    inner.split_at(inner.find(['.', '[']).unwrap_or(inner.len()))
                }
            };
            let key = key.parse::<i64>().map_or_else(|_| Value::from(key), Value::from);
            value = lookup::item(&value, &key)?;
            steps = after;
        }
        let value = convert(&value)?;
        let spec = &fields(spec, arguments, convert, automatic, depth + 1)?;
        out.push_str(&match conversion {
            "" => formatted(&value, spec)?,
            "r" => formatted(&Value::from(python::repr(&value)), spec)?,
            "s" => formatted(&Value::from(python::str(&value)), spec)?,
            "a" => formatted(&Value::from(python::ascii(&value)), spec)?,
            other => return Err(error(format!("format() does not know the conversion `!{other}`"))),
        });
    }
    out.push_str(rest);
    Ok(out)
}

/// The length of a field up to the brace that closes it.
fn field_length(text: &str) -> Option<usize> {
    let mut open = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

/// `format(value, spec)`.
fn formatted(value: &Value, spec: &str) -> Result<String, Error> {
    if spec.is_empty() {
        return Ok(python::str(value));
    }
    let unknown = || error(format!("format() does not know `{spec}` for `{}`", type_name(value)));
    let mut given = Spec::default();
    let mut rest = spec;
    let is_align = |c: char| matches!(c, '<' | '>' | '=' | '^');
    let mut head = rest.chars();
    match (head.next(), head.next()) {
        (Some(fill), Some(align)) if is_align(align) => {
            given.fill = Some(fill);
            given.align = Some(align);
            rest = &rest[fill.len_utf8() + 1..];
        }
        (Some(align), _) if is_align(align) => {
            given.align = Some(align);
            rest = &rest[1..];
        }
        _ => {}
    }
    let mut flag = |flags: &[char]| {
        let found = rest.starts_with(flags).then(|| rest.as_bytes()[0] as char);
        rest = &rest[usize::from(found.is_some())..];
        found
    };
    let sign = flag(&['+', '-', ' ']);
    given.plus = sign == Some('+');
    given.space = sign == Some(' ');
    given.alternate = flag(&['#']).is_some();
    given.zero = flag(&['0']).is_some();
    given.width = leading(&mut rest);
    if rest.starts_with([',', '_']) {
        given.grouping = rest.chars().next();
        rest = &rest[1..];
    }
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        given.precision = Some(leading(&mut rest));
    }
    given.check()?;
    let mut kind = rest.chars();
    let kind = match (kind.next(), kind.next()) {
        (None, _) => None,
        (Some(kind), None) => Some(kind),
        _ => return Err(unknown()),
    };
    if let (Some(text), None | Some('s')) = (value.as_str(), kind) {
        if given.align.is_none() {
            given.align = Some('<');
        }
        return Ok(given.text(text, false));
    }
    Ok(match (Number::of(value), kind) {
        (Some(Number::Integer(number)), None | Some('d' | 'n')) if given.precision.is_none() => {
            given.number(number < 0, "", number.unsigned_abs().to_string())
        }
        (Some(Number::Integer(number)), Some(conversion @ ('x' | 'X' | 'o' | 'b'))) => {
            let (prefix, digits) = radix(conversion, number.unsigned_abs());
            given.number(number < 0, if given.alternate { prefix } else { "" }, digits)
        }
        (Some(Number::Integer(code)), Some('c')) => {
            let c = u32::try_from(code).ok().and_then(char::from_u32).ok_or_else(unknown)?;
            given.text(&c.to_string(), false)
        }
        (Some(number), Some(conversion @ ('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%'))) => {
            let number = number.float();
            let negative = number.is_sign_negative() && !number.is_nan();
            let digits = match conversion {
                '%' => given.float('f', number.abs() * 100.0) + "%",
                _ => given.float(conversion, number.abs()),
            };
            given.number(negative, "", digits)
        }
        (Some(Number::Float(number)), None) => {
            let digits = match given.precision {
                Some(_) => given.float('g', number.abs()),
                None => python::float_repr(number.abs()),
            };
            given.number(number.is_sign_negative() && !number.is_nan(), "", digits)
        }
        _ => return Err(unknown()),
    })
}
