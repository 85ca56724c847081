//! Filters that differ between minijinja and Jinja2, as Jinja2 has them.

use minijinja::value::{Kwargs, Rest, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, filters};

use super::arguments::Arguments;
use super::dumps::{Style, dumps};
use super::{python, strings};

/// A filter: the value before the bar, and the arguments in its parentheses.
type Filter = fn(&Value, &Arguments) -> Result<Value, Error>;

const FILTERS: [(&str, Filter); 20] = [
    ("tojson", tojson),
    ("string", |value, _| Ok(Value::from(python::str(value)))),
    ("pprint", |value, _| Ok(Value::from(python::repr(value)))),
    ("trim", trim),
    ("join", join),
    ("replace", replace),
    ("items", items),
    ("center", center),
    ("wordcount", wordcount),
    ("truncate", truncate),
    ("indent", indent),
    ("length", length),
    ("count", length),
    ("default", default),
    ("d", default),
    ("e", escape),
    ("escape", escape),
    ("forceescape", escape),
    ("int", int),
    ("float", float),
];

pub fn add_to(environment: &mut Environment) {
    for unknown_to_jinja2 in ["split", "lines", "bool", "chain", "zip"] {
        environment.remove_filter(unknown_to_jinja2);
    }
    for (name, filter) in FILTERS {
        let bound = move |value: &Value, positional: Rest<Value>, named: Kwargs| {
            filter(value, &Arguments::of_filter(name, &positional, named))
        };
        environment.add_filter(name, bound);
    }
    environment.add_filter(ITERABLE, iterable);
}

/// The filter that [`rewrite`](super::rewrite) puts after what a loop goes over.
pub const ITERABLE: &str = "__iterable__";

/// What a loop may go over: in Python, not `None`.
fn iterable(value: Value) -> Result<Value, Error> {
    if value.is_none() {
        return Err(Error::new(ErrorKind::InvalidOperation, "`None` is not iterable"));
    }
    Ok(value)
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
    Ok(Value::from(match arguments.string(0, "chars")? {
        Some(set) => text.trim_matches(|c| set.contains(c)),
        None => strings::strip(&text),
    }))
}

fn join(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let attribute = arguments.given(1, "attribute");
    let mut texts = Vec::new();
    for item in value.try_iter()? {
        texts.push(python::str(&match &attribute {
            Some(path) => at_path(&item, path)?,
            None => item,
        }));
    }
    let separator = arguments.get(0, "d").map_or(String::new(), |separator| python::str(&separator));
    Ok(Value::from(texts.join(&separator)))
}

/// The value at a dotted path, or at an index.
fn at_path(value: &Value, path: &Value) -> Result<Value, Error> {
    let Some(path) = path.as_str() else { return value.get_item(path) };
    path.split('.').try_fold(value.clone(), |value, part| match part.parse::<usize>() {
        Ok(index) => value.get_item(&Value::from(index)),
        Err(_) => value.get_item(&Value::from(part)),
    })
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

fn items(value: &Value, _: &Arguments) -> Result<Value, Error> {
    if value.is_undefined() { Ok(Value::from(Vec::<Value>::new())) } else { filters::items(value) }
}

fn length(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let length = if value.is_undefined() { Some(0) } else { value.len() };
    let countless = || arguments.error(&format!("finds no length in a value of type {}", value.kind()));
    length.map(Value::from).ok_or_else(countless)
}

fn default(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    if value.is_undefined() || (arguments.is_true(1, "boolean") && !value.is_true()) {
        return Ok(arguments.get(0, "default_value").unwrap_or_else(|| Value::from("")));
    }
    Ok(value.clone())
}

fn int(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let base = arguments.integer(1, "base")?.unwrap_or(10);
    let read = match value.as_str() {
        Some(text) => whole_number(text, base),
        None if value.kind() == ValueKind::Bool => Some(i64::from(value.is_true())),
        None if python::float(value).is_some_and(|number| !number.is_finite()) => None,
        None => f64::try_from(value.clone()).ok().map(|number| number.trunc() as i64),
    };
    if value.as_i64().is_some() && value.is_integer() {
        return Ok(value.clone());
    }
    Ok(read.map(Value::from).or_else(|| arguments.get(0, "default")).unwrap_or_else(|| Value::from(0)))
}

/// `int(text, base)`, else `int(float(text))`.
fn whole_number(text: &str, base: i64) -> Option<i64> {
    let text = strings::strip(text).replace('_', "");
    let digits = match base {
        16 => text.trim_start_matches("0x").trim_start_matches("0X"),
        8 => text.trim_start_matches("0o").trim_start_matches("0O"),
        2 => text.trim_start_matches("0b").trim_start_matches("0B"),
        _ => &text,
    };
    let radix = u32::try_from(base).ok().filter(|base| (2..=36).contains(base))?;
    let as_float = || text.parse::<f64>().ok().filter(|number| number.is_finite());
    i64::from_str_radix(digits, radix).ok().or_else(|| as_float().map(|number| number.trunc() as i64))
}

fn float(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let read = match value.as_str() {
        Some(text) => strings::strip(text).parse::<f64>().ok(),
        None if value.kind() == ValueKind::Bool => Some(f64::from(u8::from(value.is_true()))),
        None => f64::try_from(value.clone()).ok(),
    };
    let default = || arguments.get(0, "default").unwrap_or_else(|| Value::from(0.0));
    Ok(read.map_or_else(default, Value::from))
}

fn escape(value: &Value, _: &Arguments) -> Result<Value, Error> {
    let mut out = String::new();
    for c in python::str(value).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            c => out.push(c),
        }
    }
    Ok(Value::from_safe_string(out))
}

fn center(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let width = arguments.integer(0, "width")?.unwrap_or(80);
    strings::center(&python::str(value), width, " ", arguments)
}

/// Runs of letters, digits and underscores.
fn wordcount(value: &Value, _: &Arguments) -> Result<Value, Error> {
    let text = python::str(value);
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    Ok(Value::from(words.filter(|word| !word.is_empty()).count()))
}

fn truncate(value: &Value, arguments: &Arguments) -> Result<Value, Error> {
    let text = python::str(value);
    let length = usize::try_from(arguments.integer(0, "length")?.unwrap_or(255)).unwrap_or(0);
    let end = arguments.string(2, "end")?.unwrap_or_else(|| "...".into());
    let leeway = usize::try_from(arguments.integer(3, "leeway")?.unwrap_or(5)).unwrap_or(0);
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
    let blank = arguments.is_true(2, "blank");
    let text = python::str(value) + "\n";
    let lines: Vec<&str> = text.lines().collect();
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if (index > 0 && (blank || !line.is_empty())) || (index == 0 && arguments.is_true(1, "first")) {
            out.push_str(&indentation);
        }
        out.push_str(line);
    }
    Ok(Value::from(out))
}
