//! Python's two ways of filling in a text: `"…" % values` and `"…".format(values)`.

use minijinja::Error;
use minijinja::value::{Value, ValueKind};

use super::arguments::Arguments;
use super::operators::Number;
use super::python::{self, error, type_name};
use super::{filters, lookup};

/// The widest that a value is padded to, and the most digits.
const WIDEST: usize = 1 << 16;

/// `format % values`; a tuple gives several, a dictionary those with names.
pub fn format(format: &str, values: &Value) -> Result<String, Error> {
    filled(format, values, &|value| value.clone())
}

/// The same of a text that is safe: strings put into it are escaped.
pub fn format_safe(format: &str, values: &Value) -> Result<String, Error> {
    filled(format, values, &|value| match value.kind() {
        ValueKind::Number | ValueKind::Bool => value.clone(),
        _ => Value::from(filters::escaped_value(value)),
    })
}

fn filled(format: &str, values: &Value, convert: &dyn Fn(&Value) -> Value) -> Result<String, Error> {
    let is_tuple = type_name(values) == "tuple";
    let items: Vec<Value> = if is_tuple { values.try_iter()?.collect() } else { vec![values.clone()] };
    let mut next = items.iter();
    let mut out = String::new();
    let mut rest = format;
    let mut used = false;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let mut named = None;
        if let Some(after) = rest.strip_prefix('(') {
            let end = after.find(')').ok_or_else(|| error("`%` has a name that is not closed"))?;
            let key = Value::from(&after[..end]);
            if values.kind() != ValueKind::Map {
                return Err(error("`%` with a name needs a dictionary"));
            }
            named = Some(
                super::operators::value_of(values, &key)
                    .ok_or_else(|| error(format!("`%` finds no key `{}`", &after[..end])))?,
            );
            rest = &after[end + 1..];
        }
        let flags = &rest[..rest.len() - rest.trim_start_matches(['-', '+', ' ', '#', '0']).len()];
        rest = &rest[flags.len()..];
        let mut take = || next.next().ok_or_else(|| error("not enough values for `%`"));
        let mut width = Spec { left: flags.contains('-'), plus: flags.contains('+'), ..Spec::default() };
        width.space = flags.contains(' ');
        width.zero = flags.contains('0');
        width.alternate = flags.contains('#');
        if let Some(after) = rest.strip_prefix('*') {
            let number = take()?.as_i64().ok_or_else(|| error("`*` needs an integer"))?;
            width.left |= number < 0;
            width.width = number.unsigned_abs() as usize;
            rest = after;
        } else {
            width.width = leading(&mut rest);
        }
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            width.precision = Some(match rest.strip_prefix('*') {
                Some(after) => {
                    rest = after;
                    usize::try_from(take()?.as_i64().unwrap_or(0)).unwrap_or(0)
                }
                None => leading(&mut rest),
            });
        }
        rest = rest.trim_start_matches(['h', 'l', 'L']);
        let Some(conversion) = rest.chars().next() else { return Err(error("`%` ends the text")) };
        rest = &rest[conversion.len_utf8()..];
        if conversion == '%' {
            out.push('%');
            continue;
        }
        used = true;
        let value = match named {
            Some(value) => value,
            None => take()?.clone(),
        };
        out.push_str(&width.printf(conversion, &convert(&value))?);
    }
    out.push_str(rest);
    let all_used = next.next().is_none() || (!is_tuple && values.kind() == ValueKind::Map);
    if !all_used && (is_tuple || !used) && !matches!(type_name(values), "list" | "dict") {
        return Err(error("not all values were used by `%`"));
    }
    Ok(out)
}

/// Digits at the beginning of a text, taken off it.
fn leading(text: &mut &str) -> usize {
    let digits = &text[..text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()];
    *text = &text[digits.len()..];
    digits.parse().unwrap_or(if digits.is_empty() { 0 } else { usize::MAX })
}

/// How a value is written.
#[derive(Debug, Default)]
struct Spec {
    fill: Option<char>,
    align: Option<char>,
    left: bool,
    plus: bool,
    space: bool,
    zero: bool,
    alternate: bool,
    grouping: Option<char>,
    width: usize,
    precision: Option<usize>,
}

impl Spec {
    fn check(&self) -> Result<(), Error> {
        if self.width > WIDEST || self.precision.is_some_and(|precision| precision > WIDEST) {
            return Err(error("a format asks for too wide a text"));
        }
        Ok(())
    }

    fn printf(&self, conversion: char, value: &Value) -> Result<String, Error> {
        self.check()?;
        let number = || {
            Number::of(value)
                .ok_or_else(|| error(format!("`%{conversion}` needs a number, not `{}`", type_name(value))))
        };
        Ok(match conversion {
            's' => self.text(&python::str(value), false),
            'r' => self.text(&python::repr(value), false),
            'a' => self.text(&python::ascii(value), false),
            'c' => {
                let code = value.as_i64().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
                let c = code.map_or_else(|| python::str(value), String::from);
                if c.chars().count() != 1 {
                    return Err(error("`%c` needs one character"));
                }
                self.text(&c, false)
            }
            'd' | 'i' | 'u' => match number()? {
                Number::Integer(number) => {
                    self.number(number < 0, "", self.least(number.unsigned_abs().to_string()))
                }
                Number::Float(number) if number.is_finite() => {
                    self.number(number <= -1.0, "", self.least(format!("{:.0}", number.abs().trunc())))
                }
                Number::Float(_) => return Err(error("`%d` needs a finite number")),
            },
            'x' | 'X' | 'o' => match number()? {
                Number::Integer(number) => {
                    let (prefix, digits) = radix(conversion, number.unsigned_abs());
                    self.number(number < 0, if self.alternate { prefix } else { "" }, self.least(digits))
                }
                Number::Float(_) => return Err(error(format!("`%{conversion}` needs an integer"))),
            },
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = number()?.float();
                self.number(
                    number.is_sign_negative() && !number.is_nan(),
                    "",
                    self.float(conversion, number.abs()),
                )
            }
            _ => return Err(error(format!("`%{conversion}` is not a conversion"))),
        })
    }

    /// Digits, at least as many as the precision.
    fn least(&self, digits: String) -> String {
        let missing = self.precision.unwrap_or(0).saturating_sub(digits.len());
        "0".repeat(missing) + &digits
    }

    fn float(&self, conversion: char, number: f64) -> String {
        let precision = self.precision.unwrap_or(6);
        let upper = conversion.is_ascii_uppercase();
        let text = match (number.is_finite(), conversion.to_ascii_lowercase()) {
            (false, _) => {
                if number.is_nan() {
                    "nan".to_owned()
                } else {
                    "inf".to_owned()
                }
            }
            (_, 'f') => format!("{number:.precision$}"),
            (_, 'e') => exponent(&format!("{number:.precision$e}")),
            _ => {
                let precision = precision.max(1);
                let scientific = format!("{number:.*e}", precision - 1);
                let power: i64 =
                    scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
                let text = if power < -4 || power >= precision as i64 {
                    exponent(&scientific)
                } else {
                    format!("{number:.*}", (precision as i64 - 1 - power).max(0) as usize)
                };
                if self.alternate { text } else { trimmed(&text) }
            }
        };
        if upper { text.to_uppercase() } else { text }
    }

    /// A number with its sign and prefix, padded.
    fn number(&self, negative: bool, prefix: &str, digits: String) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let digits = match self.grouping {
            Some(separator) => grouped(&digits, separator),
            None => digits,
        };
        let head = format!("{sign}{prefix}");
        let length = head.chars().count() + digits.chars().count();
        let missing = self.width.saturating_sub(length);
        if (self.zero && !self.left && self.align.is_none()) || self.align == Some('=') {
            let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
            return format!("{head}{}{digits}", fill.to_string().repeat(missing));
        }
        self.padded(&format!("{head}{digits}"), true)
    }

    /// A text, cut to the precision and padded.
    fn text(&self, text: &str, right: bool) -> String {
        let cut: String = match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        };
        // printf puts a text right, format puts it left.
        self.padded(&cut, right || (self.align.is_none() && !self.left && self.fill.is_none()))
    }

    fn padded(&self, text: &str, right: bool) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        let left = match self.align {
            Some('<') => 0,
            Some('^') => missing / 2,
            Some(_) => missing,
            None if self.left || !right => 0,
            None => missing,
        };
        let fill = self.fill.unwrap_or(' ').to_string();
        format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))
    }
}

fn radix(conversion: char, number: u128) -> (&'static str, String) {
    match conversion {
        'x' => ("0x", format!("{number:x}")),
        'X' => ("0X", format!("{number:X}")),
        'b' => ("0b", format!("{number:b}")),
        _ => ("0o", format!("{number:o}")),
    }
}

/// `1e7` as `1e+07`.
fn exponent(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// Without zeros after the point.
fn trimmed(text: &str) -> String {
    let (digits, power) = text.find('e').map_or((text, ""), |at| text.split_at(at));
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{power}")
}

/// Digits in groups of three before the point.
fn grouped(digits: &str, separator: char) -> String {
    let whole = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            out.push(separator);
        }
        out.push(digit);
    }
    out + &digits[whole.len()..]
}

/// `format.format(*positional, **named)`; `convert` is applied to what is put in.
pub fn str_format(
    format: &str,
    arguments: &Arguments,
    convert: impl Fn(&Value) -> Result<Value, Error>,
) -> Result<String, Error> {
    fields(format, arguments, &convert, &mut 0, 0)
}

/// The same; `automatic` counts fields without a name, `depth` is that of fields within fields.
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
            Err(_) => arguments
                .named()
                .and_then(|named| super::operators::value_of(named, &Value::from(name.as_str()))),
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

/// Length of a field up to the brace that closes it.
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
