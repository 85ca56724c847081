//! Jinja2's filters of texts and numbers, with its `tojson` replaced by Hugging Face's.
//! Those of sequences are in [`sequences`](super::sequences).

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Environment, Error};

use super::arguments::Arguments;
use super::bounds;
use super::dumps::{Style, dumps};
use super::objects::Generator;
use super::python::{self, error, type_name};
use super::registration::{Filter, add};
use super::{lookup, markup, methods, numbers, pprint, printf, sequences, spaces, strings, wrap};

/// Name, arguments, filter.
type FilterEntry = (&'static str, &'static [&'static str], Filter);

const FILTERS: [FilterEntry; 37] = [
    ("tojson", &["ensure_ascii", "indent", "separators", "sort_keys"], |_, value, given| {
        tojson(value, given)
    }),
    ("string", &[], |_, value, _| Ok(soft(value))),
    ("safe", &[], |_, value, _| Ok(Value::from_safe_string(python::str(value)))),
    ("pprint", &[], |_, value, _| pprint::pformat(value).map(Value::from)),
    ("trim", &["chars"], |_, value, given| trim(value, given)),
    ("upper", &[], |state, value, _| methods::call(state, &soft(value), "upper", &[])),
    ("lower", &[], |state, value, _| methods::call(state, &soft(value), "lower", &[])),
    ("capitalize", &[], |state, value, _| methods::call(state, &soft(value), "capitalize", &[])),
    ("title", &[], |_, value, _| Ok(Value::from(title(&python::str(value))))),
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
    ("e", &[], |_, value, _| Ok(Value::from_safe_string(markup::escaped_value(value)))),
    ("escape", &[], |_, value, _| Ok(Value::from_safe_string(markup::escaped_value(value)))),
    ("forceescape", &[], |_, value, _| Ok(Value::from_safe_string(markup::escaped(&python::str(value))))),
    ("int", &["default", "base"], |_, value, given| numbers::int(value, given)),
    (FLOAT, &["default"], |_, value, given| numbers::float(value, given)),
    ("abs", &[], |_, value, _| numbers::abs(value)),
    ("round", &["precision", "method"], |_, value, given| numbers::round(value, given)),
    ("attr", &["name"], |_, value, given| attr(value, given)),
    ("urlencode", &[], |_, value, _| markup::urlencode(value)),
    ("striptags", &[], |_, value, _| Ok(Value::from(markup::striptags(&python::str(value))))),
    ("filesizeformat", &["binary"], |_, value, given| numbers::filesizeformat(value, given)),
    ("xmlattr", &["autospace"], |_, value, given| markup::xmlattr(value, given)),
    ("join", &["d", "attribute"], |_, value, given| sequences::join(value, given)),
    ("first", &[], |_, value, _| sequences::first(value)),
    ("last", &[], |_, value, _| sequences::last(value)),
    ("list", &[], |_, value, _| Ok(Value::from(python::iterate(value)?))),
    ("reverse", &[], |_, value, _| sequences::reverse(value)),
];

/// The name of the filter that reads floats.
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
    environment.add_filter(UNPACKABLE, unpackable);
}

/// The filter that [`rewrite`](super::rewrite) applies to what a loop iterates over.
pub const ITERABLE: &str = "__iterable__";

/// The same for a loop with several variables.
pub const UNPACKABLE: &str = "__unpackable__";

/// What a loop with several variables iterates over. Items that are strings or dictionaries are unpacked as
/// in Python.
fn unpackable(value: Value) -> Result<Value, Error> {
    let items = python::iterate(&value)?.into_iter().map(|item| match item.kind() {
        ValueKind::String | ValueKind::Map => python::iterate(&item).map(Value::from),
        _ => Ok(item),
    });
    items.collect()
}

/// What a loop iterates over: for a string its characters, for an undefined value nothing.
fn iterable(value: Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Seq | ValueKind::Map | ValueKind::Iterable => Ok(value),
        _ => python::iterate(&value).map(Value::from),
    }
}

/// A string as it is, safe or not; anything else as `str()` writes it.
fn soft(value: &Value) -> Value {
    if value.as_str().is_some() { value.clone() } else { Value::from(python::str(value)) }
}

/// `text` as a value that is marked as safe if `value` is.
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

/// A text of `width` spaces, within what is reasonable for an indentation.
fn spaces(width: i64) -> String {
    " ".repeat(usize::try_from(width).unwrap_or(0).min(1024))
}

fn trim(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = python::str(value);
    let trimmed = match arguments.string(0, "chars")? {
        Some(set) => text.trim_matches(|c| set.contains(c)),
        None => spaces::strip(&text),
    };
    Ok(like(value, trimmed.to_owned()))
}

fn replace(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = |index, name| match arguments.get(index, name) {
        Some(value) => Ok(python::str(&value)),
        None => Err(arguments.error(&format!("misses `{name}`"))),
    };
    let most = arguments.integer(2, "count")?.unwrap_or(-1);
    let (old, new) = (text(0, "old")?, text(1, "new")?);
    strings::replace(&python::str(value), &old, &new, most).map(Value::from)
}

fn items(value: &Value) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::Undefined => Ok(Generator::value(Vec::new())),
        ValueKind::Map => Ok(Generator::value(python::pairs(value)?)),
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

/// An attribute, as opposed to an item. The attributes of Python's own types are their methods.
fn attr(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let name = python::str(&arguments.get(0, "name").unwrap_or_default());
    Ok(match value.kind() {
        ValueKind::Undefined => return Err(error(format!("`{name}` of a value that is not defined"))),
        ValueKind::Plain => value.get_attr(&name).unwrap_or_default(),
        _ => lookup::bound_method(value, &name).unwrap_or_default(),
    })
}

fn format(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let values = match arguments.named() {
        Some(_) if !arguments.positional().is_empty() => {
            return Err(error("format() takes values by position or by name, not both"));
        }
        Some(named) => Value::from_pairs(python::entries(named)?),
        None => Value::from(Tuple::from(arguments.positional())),
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

/// Counts words: runs of letters, digits and underscores.
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
    // Like Jinja2, this adds a newline first, so that a newline at the end of the text is kept.
    let text = text.to_owned() + "\n";
    bounds::make_text(text.matches('\n').count().saturating_mul(indentation.len()))?;
    bounds::make_items(text.len() / 2)?;
    let mut out = String::new();
    for (index, line) in spaces::lines(&text, false).into_iter().enumerate() {
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

/// The filter `title`: letters after white space, a hyphen or an opening bracket become capitals.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut starts = true;
    for c in text.chars() {
        if spaces::is_space(c) || matches!(c, '-' | '(' | '{' | '[' | '<') {
            out.push(c);
            starts = true;
        } else if std::mem::take(&mut starts) {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}
