//! Jinja2's filters of texts and numbers, with its `tojson` replaced by Hugging Face's.
//! Those of sequences are in [`sequences`](super::sequences).

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::arguments::Arguments;
use super::dumps::{Style, dumps};
use super::objects::{BigInteger, Generator};
use super::operators::{Number, integer};
use super::python::{self, error, type_name};
use super::{methods, printf, sequences, strings, wrap};

/// A filter: the value before the bar, and the arguments in its parentheses.
pub type Filter = fn(&mut State, &Value, &Arguments) -> Result<Value, Error>;

/// Name, arguments, filter.
type Named = (&'static str, &'static [&'static str], Filter);

const FILTERS: [Named; 37] = [
    ("tojson", &["ensure_ascii", "indent", "separators", "sort_keys"], |_, value, given| {
        tojson(value, given)
    }),
    ("string", &[], |_, value, _| Ok(soft(value))),
    ("safe", &[], |_, value, _| Ok(Value::from_safe_string(python::str(value)))),
    ("pprint", &[], |_, value, _| Ok(Value::from(python::repr(value)))),
    ("trim", &["chars"], |_, value, given| trim(value, given)),
    ("upper", &[], |state, value, _| methods::call(state, &soft(value), "upper", &[])),
    ("lower", &[], |state, value, _| methods::call(state, &soft(value), "lower", &[])),
    ("capitalize", &[], |state, value, _| methods::call(state, &soft(value), "capitalize", &[])),
    ("title", &[], |_, value, _| Ok(Value::from(strings::title_filter(&python::str(value))))),
    ("replace", &["old", "new", "count"], |_, value, given| replace(value, given)),
    ("items", &[], |_, value, _| items(value)),
    ("center", &["width"], |_, value, given| center(value, given)),
    ("wordcount", &[], |_, value, _| wordcount(value)),
    ("truncate", &["length", "killwords", "end", "leeway"], |_, value, given| truncate(value, given)),
    ("indent", &["width", "first", "blank"], |_, value, given| indent(value, given)),
    ("wordwrap", &["width", "break_long_words", "wrapstring", "break_on_hyphens"], |_, value, given| {
        wrap::wordwrap(value, given)
    }),
    ("length", &[], |_, value, _| length(value)),
    ("count", &[], |_, value, _| length(value)),
    ("default", &["default_value", "boolean"], |_, value, given| default(value, given)),
    ("d", &["default_value", "boolean"], |_, value, given| default(value, given)),
    ("e", &[], |_, value, _| Ok(Value::from_safe_string(escaped_value(value)))),
    ("escape", &[], |_, value, _| Ok(Value::from_safe_string(escaped_value(value)))),
    ("forceescape", &[], |_, value, _| Ok(Value::from_safe_string(escaped(&python::str(value))))),
    ("int", &["default", "base"], |_, value, given| int(value, given)),
    (FLOAT, &["default"], |_, value, given| float(value, given)),
    ("abs", &[], |_, value, _| abs(value)),
    ("round", &["precision", "method"], |_, value, given| round(value, given)),
    ("attr", &["name"], |_, value, given| attr(value, given)),
    ("urlencode", &[], |_, value, _| urlencode(value)),
    ("striptags", &[], |_, value, _| Ok(Value::from(strings::striptags(&python::str(value))))),
    ("filesizeformat", &["binary"], |_, value, given| filesizeformat(value, given)),
    ("xmlattr", &["autospace"], |_, value, given| xmlattr(value, given)),
    ("join", &["d", "attribute"], |_, value, given| sequences::join(value, given)),
    ("first", &[], |_, value, _| sequences::first(value)),
    ("last", &[], |_, value, _| sequences::last(value)),
    ("list", &[], |_, value, _| Ok(Value::from(python::iterate(value)?))),
    ("reverse", &[], |_, value, _| sequences::reverse(value)),
];

/// The filter that reads floats.
pub const FLOAT: &str = "float";

pub fn add_to(environment: &mut Environment) {
    for unknown_to_jinja2 in ["split", "lines", "bool", "chain", "zip"] {
        environment.remove_filter(unknown_to_jinja2);
    }
    for (name, names, filter) in FILTERS {
        add(environment, name, Some(names), filter);
    }
    sequences::add_to(environment);
    add(environment, "format", None, |_, value, given| format(value, given));
    environment.add_filter(ITERABLE, iterable);
}

/// Adds a filter; arguments beyond `names` are refused.
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
        filter(state, value, &given)
    };
    environment.add_filter(name, bound);
}

/// The filter that [`rewrite`](super::rewrite) puts after what a loop goes over.
pub const ITERABLE: &str = "__iterable__";

/// What a loop goes over: the characters of a string, nothing of what is undefined.
fn iterable(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => Ok(value),
        _ => python::iterate(&value).map(Value::from),
    }
}

/// A string as it is, safe or not; anything else as `str()`.
fn soft(value: &Value) -> Value {
    if value.as_str().is_some() { value.clone() } else { Value::from(python::str(value)) }
}

/// `text`, safe if `value` is.
fn like(value: &Value, text: String) -> Value {
    if value.is_safe() { Value::from_safe_string(text) } else { Value::from(text) }
}

/// `tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False)`, the filter
/// that Hugging Face puts in place of Jinja2's own.
fn tojson(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let indent = match arguments.given(1, "indent") {
        Some(indent) if indent.as_str().is_some() => Some(python::str(&indent)),
        Some(_) => arguments.integer(1, "indent")?.map(spaces),
        None => None,
    };
    let separators = match arguments.given(2, "separators") {
        Some(pair) => match pair.try_iter()?.collect::<Vec<Value>>().as_slice() {
            [item, key] => Some((python::str(item), python::str(key))),
            _ => return Err(arguments.error("takes two `separators`")),
        },
        None => None,
    };
    let style = Style {
        ensure_ascii: arguments.is_true(0, "ensure_ascii"),
        indent,
        separators,
        sort_keys: arguments.is_true(3, "sort_keys"),
    };
    dumps(value, &style).map(Value::from)
}

/// As many spaces, within what an indentation can mean.
fn spaces(width: i64) -> String {
    " ".repeat(usize::try_from(width).unwrap_or(0).min(1024))
}

fn trim(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = python::str(value);
    let trimmed = match arguments.string(0, "chars")? {
        Some(set) => text.trim_matches(|c| set.contains(c)),
        None => strings::strip(&text),
    };
    Ok(like(value, trimmed.to_owned()))
}

fn replace(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = |index, name| match arguments.get(index, name) {
        Some(value) => Ok(python::str(&value)),
        None => Err(arguments.error(&format!("misses `{name}`"))),
    };
    let most = arguments.integer(2, "count")?.unwrap_or(-1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    Ok(Value::from(python::str(value).replacen(&text(0, "old")?, &text(1, "new")?, most)))
}

fn items(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(Generator::value(Vec::new())),
        ValueKind::Map => Ok(Generator::value(methods::pairs(value)?)),
        _ => Err(error(format!("items() takes a dictionary, not `{}`", type_name(value)))),
    }
}

fn length(value: &Value) -> Result<Value, Error> {
    let length = match value.kind() {
        ValueKind::Undefined => Some(0),
        ValueKind::String => value.as_str().map(|text| text.chars().count()),
        _ => value.len(),
    };
    let countless = || error(format!("a value of type `{}` has no length", type_name(value)));
    length.map(Value::from).ok_or_else(countless)
}

fn default(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    if value.is_undefined() || (arguments.is_true(1, "boolean") && !value.is_true()) {
        // An undefined default stays undefined.
        let given = arguments.positional().first().cloned();
        return Ok(given.or_else(|| arguments.get(0, "default_value")).unwrap_or_else(|| Value::from("")));
    }
    Ok(value.clone())
}

fn int(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
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

/// `int(text, base)`, else `int(float(text))`, as decimal digits.
fn whole_number(text: &str, base: i64) -> Option<String> {
    let text = strings::strip(text);
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
    let text = strings::strip(text);
    let well_grouped = !text.starts_with('_') && !text.ends_with('_') && !text.contains("__");
    text.replace('_', "").parse().ok().filter(|_| well_grouped)
}

fn float(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    python::defined(value)?;
    let read = match value.as_str() {
        Some(text) => python_float(text),
        None => Number::of(value).map(Number::float),
    };
    let default = || arguments.get(0, "default").unwrap_or_else(|| Value::from(0.0));
    Ok(read.map_or_else(default, Value::from))
}

fn abs(value: &Value) -> Result<Value, Error> {
    match Number::of(value) {
        Some(Number::Integer(number)) => Ok(integer(number.saturating_abs())),
        Some(Number::Float(number)) => Ok(Value::from(number.abs())),
        None => Err(error(format!("abs() takes a number, not `{}`", type_name(value)))),
    }
}

fn round(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
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
            let up = rest * 2 > unit || (rest * 2 == unit && down % 2 != 0);
            Ok(integer((down + i128::from(up)) * unit))
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

/// An attribute, not an item: of Python's own types these are methods.
fn attr(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let name = python::str(&arguments.get(0, "name").unwrap_or_default());
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(error(format!("`{name}` of a value that is not defined"))),
        ValueKind::Plain => value.get_attr(&name).unwrap_or_default(),
        _ => super::lookup::bound_method(value, &name).unwrap_or_default(),
    })
}

/// Text with the signs of HTML written out.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    out
}

/// The same of any value; what is safe already stays as it is.
pub fn escaped_value(value: &Value) -> String {
    if value.is_safe() { python::str(value) } else { escaped(&python::str(value)) }
}

fn format(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let values = match arguments.named() {
        Some(_) if !arguments.positional().is_empty() => {
            return Err(error("format() takes values by position or by name, not both"));
        }
        Some(named) => Value::from_pairs(methods::entries(named)?),
        None => Value::from(minijinja::value::Tuple::from(arguments.positional())),
    };
    let text = python::str(value);
    if value.is_safe() {
        return printf::format_safe(&text, &values).map(Value::from_safe_string);
    }
    printf::format(&text, &values).map(Value::from)
}

fn center(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let width = arguments.integer(0, "width")?.unwrap_or(80);
    let centred = strings::center(&python::str(value), width, " ", arguments)?;
    Ok(like(value, python::str(&centred)))
}

/// Runs of letters, digits and underscores.
fn wordcount(value: &Value) -> Result<Value, Error> {
    let text = python::str(value);
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    Ok(Value::from(words.filter(|word| !word.is_empty()).count()))
}

fn truncate(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = python::str(value);
    let length = usize::try_from(arguments.integer(0, "length")?.unwrap_or(255)).unwrap_or(0);
    let end = arguments.string(2, "end")?.unwrap_or_else(|| "...".into());
    let leeway = usize::try_from(arguments.integer(3, "leeway")?.unwrap_or(5)).unwrap_or(0);
    if length < end.chars().count() {
        return Err(arguments.error("needs a length that its `end` fits in"));
    }
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(Value::from(text));
    }
    let room = length.saturating_sub(end.chars().count());
    let cut: String = text.chars().take(room).collect();
    let kept = match cut.rsplit_once(' ') {
        Some((words, _)) if !arguments.is_true(1, "killwords") => words,
        _ => &cut,
    };
    Ok(Value::from(format!("{kept}{end}")))
}

fn indent(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let indentation = match arguments.given(0, "width") {
        Some(width) if width.as_str().is_some() => python::str(&width),
        _ => spaces(arguments.integer(0, "width")?.unwrap_or(4)),
    };
    let Some(text) = value.as_str() else {
        return Err(error(format!("indent() takes a string, not `{}`", type_name(value))));
    };
    let blank = arguments.is_true(2, "blank");
    // A last line end adds an empty line, which is how Jinja2 keeps it.
    let text = text.to_owned() + "\n";
    let mut out = String::new();
    for (index, line) in strings::lines(&text, false).into_iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if (index > 0 && (blank || !line.is_empty())) || (index == 0 && arguments.is_true(1, "first")) {
            out.push_str(&indentation);
        }
        out.push_str(line);
    }
    Ok(like(value, out))
}

fn urlencode(value: &Value) -> Result<Value, Error> {
    let quoted = |text: &str, keep: &[u8]| {
        text.bytes().fold(String::new(), |out, byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => {
                out + &char::from(byte).to_string()
            }
            byte if keep.contains(&byte) => out + &char::from(byte).to_string(),
            byte => out + &format!("%{byte:02X}"),
        })
    };
    let pairs = match value.kind() {
        ValueKind::Map => methods::pairs(value)?,
        ValueKind::Seq | ValueKind::Iterable => python::iterate(value)?,
        _ => return Ok(Value::from(quoted(&python::str(value), b"/"))),
    };
    let mut parts = Vec::new();
    for pair in pairs {
        match python::iterate(&pair)?.as_slice() {
            [key, value] => {
                let part = |value: &Value| quoted(&python::str(value), b"").replace("%20", "+");
                parts.push(format!("{}={}", part(key), part(value)));
            }
            _ => return Err(error("urlencode() takes a string, a dictionary or pairs")),
        }
    }
    Ok(Value::from(parts.join("&")))
}

fn filesizeformat(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
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

fn xmlattr(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    if value.kind() != ValueKind::Map {
        return Err(error(format!("xmlattr() takes a dictionary, not `{}`", type_name(value))));
    }
    let mut parts = Vec::new();
    for (key, item) in methods::entries(value)? {
        let name = python::str(&key);
        if item.is_none() || item.is_undefined() {
            continue;
        }
        if name.contains(|c: char| strings::is_space(c) || matches!(c, '/' | '>' | '=')) {
            return Err(error(format!("xmlattr() cannot write an attribute `{name}`")));
        }
        parts.push(format!("{}=\"{}\"", escaped(&name), escaped_value(&item)));
    }
    let space = arguments.get(0, "autospace").is_none_or(|value| value.is_true());
    let lead = if space && !parts.is_empty() { " " } else { "" };
    Ok(Value::from(format!("{lead}{}", parts.join(" "))))
}
