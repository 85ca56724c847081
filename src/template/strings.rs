//! Python's string methods where minijinja's own differ or are missing.

use minijinja::{Error, Value};

use super::arguments::Arguments;
use super::bounds;
use super::python::{self, tuple};
use super::spaces::{is_space, rsplit_at_spaces, split_at_spaces, splitlines};

/// `text.name(arguments)`; `None` if the method is not one of those here.
pub fn call(text: &str, name: &str, arguments: &Arguments) -> Option<Result<Value, Error>> {
    Some(match name {
        "strip" => stripped(text, arguments, true, true),
        "lstrip" => stripped(text, arguments, true, false),
        "rstrip" => stripped(text, arguments, false, true),
        "split" => split(text, arguments, false),
        "rsplit" => split(text, arguments, true),
        "splitlines" => {
            bounds::make_items(text.len() / 2).map(|()| splitlines(text, arguments.is_true(0, "keepends")))
        }
        "partition" => arguments.required_string(0, "sep").map(|sep| match text.split_once(&sep) {
            Some((before, after)) => tuple([before, &sep, after]),
            None => tuple([text, "", ""]),
        }),
        "rpartition" => arguments.required_string(0, "sep").map(|sep| match text.rsplit_once(&sep) {
            Some((before, after)) => tuple([before, &sep, after]),
            None => tuple(["", "", text]),
        }),
        "startswith" => affixed(text, arguments, |text, affix| text.starts_with(affix)),
        "endswith" => affixed(text, arguments, |text, affix| text.ends_with(affix)),
        "find" | "index" => position(text, arguments, name == "index", |text, what| text.find(what)),
        "rfind" | "rindex" => position(text, arguments, name == "rindex", |text, what| text.rfind(what)),
        "replace" => replaced(text, arguments),
        "removeprefix" => arguments
            .required_string(0, "prefix")
            .map(|prefix| Value::from(text.strip_prefix(prefix.as_str()).unwrap_or(text))),
        "removesuffix" => arguments
            .required_string(0, "suffix")
            .map(|suffix| Value::from(text.strip_suffix(suffix.as_str()).unwrap_or(text))),
        "join" => joined(text, arguments),
        "title" => Ok(Value::from(title(text))),
        "swapcase" => Ok(Value::from(swapcase(text))),
        "casefold" => Ok(Value::from(text.to_lowercase().replace('ß', "ss"))),
        "center" | "ljust" | "rjust" => justified(text, name, arguments),
        "zfill" => arguments.integer(0, "width").map(|width| zero_filled(text, width.unwrap_or(0))),
        "isdecimal" => Ok(all(text, is_decimal)),
        "isdigit" => Ok(all(text, |c| {
            is_decimal(c) || matches!(c, '²' | '³' | '¹' | '⁰' | '⁴'..='⁹' | '₀'..='₉' | '①'..='⑨')
        })),
        "isnumeric" => Ok(all(text, char::is_numeric)),
        "expandtabs" => arguments
            .integer(0, "tabsize")
            .and_then(|size| expanded(text, size.unwrap_or(8)))
            .map(Value::from),
        "istitle" => Ok(Value::from(title(text) == text && text.chars().any(char::is_alphabetic))),
        "isidentifier" => Ok(Value::from(
            !text.starts_with(|c: char| c.is_ascii_digit())
                && !text.is_empty()
                && text.chars().all(|c| c == '_' || c.is_alphanumeric()),
        )),
        "isprintable" => Ok(Value::from(text.chars().all(python::is_printable))),
        "capitalize" => {
            let mut characters = text.chars();
            let first = characters.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
            Ok(Value::from(first + &characters.as_str().to_lowercase()))
        }
        "count" => count(text, arguments),
        "isspace" => Ok(all(text, is_space)),
        _ => return None,
    })
}

/// Whether a character is a decimal digit of one of the scripts in wide use.
fn is_decimal(c: char) -> bool {
    const ZEROS: [u32; 22] = [
        0x30, 0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66, 0xde6,
        0xe50, 0xed0, 0xf20, 0x1040, 0x17e0, 0x1810, 0xa620, 0xff10,
    ];
    ZEROS.iter().any(|zero| (*zero..zero + 10).contains(&(c as u32)))
}

/// `text.count(sub, start, end)`.
fn count(text: &str, arguments: &Arguments) -> Result<Value, Error> {
    let what = arguments.required_string(0, "sub")?;
    let Some((text, _)) = window(text, arguments)? else { return Ok(Value::from(0)) };
    Ok(Value::from(match what.is_empty() {
        true => text.chars().count() + 1,
        false => text.matches(what.as_str()).count(),
    }))
}

/// The text with tabs replaced by spaces up to the next column that is a multiple of `size`.
fn expanded(text: &str, size: i64) -> Result<String, Error> {
    let size = usize::try_from(size).unwrap_or(0).min(1024);
    bounds::make_text(text.matches('\t').count().saturating_mul(size))?;
    let (mut out, mut column) = (String::new(), 0);
    for c in text.chars() {
        match c {
            '\t' => {
                let width = if size == 0 { 0 } else { size - column % size };
                out.push_str(&" ".repeat(width));
                column += width;
            }
            '\n' | '\r' => {
                out.push(c);
                column = 0;
            }
            c => {
                out.push(c);
                column += 1;
            }
        }
    }
    Ok(out)
}

fn all(text: &str, is: impl Fn(char) -> bool) -> Value {
    Value::from(!text.is_empty() && text.chars().all(is))
}

fn stripped(text: &str, arguments: &Arguments, left: bool, right: bool) -> Result<Value, Error> {
    let characters = arguments.string(0, "chars")?;
    let goes = |c: char| characters.as_ref().map_or_else(|| is_space(c), |set| set.contains(c));
    let text = if left { text.trim_start_matches(goes) } else { text };
    Ok(Value::from(if right { text.trim_end_matches(goes) } else { text }))
}

fn split(text: &str, arguments: &Arguments, from_right: bool) -> Result<Value, Error> {
    let separator = arguments.string(0, "sep")?;
    let most = arguments.integer(1, "maxsplit")?.unwrap_or(-1);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let pieces = match &separator {
        Some(separator) if separator.is_empty() => 0,
        Some(separator) => text.matches(separator.as_str()).count(),
        None => text.chars().filter(|c| is_space(*c)).count(),
    };
    bounds::make_items(pieces.min(most).saturating_mul(2))?;
    let parts: Vec<&str> = match (&separator, from_right) {
        (Some(separator), _) if separator.is_empty() => {
            return Err(arguments.error("cannot split at an empty separator"));
        }
        (Some(separator), false) => text.splitn(most.saturating_add(1), separator.as_str()).collect(),
        (Some(separator), true) => {
            let mut parts: Vec<&str> = text.rsplitn(most.saturating_add(1), separator.as_str()).collect();
            parts.reverse();
            parts
        }
        (None, false) => split_at_spaces(text, most),
        (None, true) => rsplit_at_spaces(text, most),
    };
    Ok(parts.into_iter().map(Value::from).collect())
}

/// The part of a text between two character positions, as Python counts them, and the position where it
/// begins.
fn window<'a>(text: &'a str, arguments: &Arguments) -> Result<Option<(&'a str, usize)>, Error> {
    let length = text.chars().count() as i64;
    let place = |bound: i64| (if bound < 0 { bound + length } else { bound }).max(0);
    let start = place(arguments.integer(1, "start")?.unwrap_or(0));
    let stop = place(arguments.integer(2, "end")?.unwrap_or(length)).min(length);
    if start > stop {
        return Ok(None);
    }
    let byte =
        |position: i64| text.char_indices().nth(position as usize).map_or(text.len(), |(byte, _)| byte);
    Ok(Some((&text[byte(start)..byte(stop)], start as usize)))
}

fn affixed(text: &str, arguments: &Arguments, has: impl Fn(&str, &str) -> bool) -> Result<Value, Error> {
    let affix = arguments.given(0, "affix").unwrap_or_default();
    let affixes = if affix.is_tuple() { affix.try_iter()?.collect() } else { vec![affix] };
    let Some((text, _)) = window(text, arguments)? else { return Ok(Value::from(false)) };
    for affix in &affixes {
        match affix.as_str() {
            Some(affix) if has(text, affix) => return Ok(Value::from(true)),
            Some(_) => {}
            None => return Err(arguments.error("takes a string or a tuple of strings")),
        }
    }
    Ok(Value::from(false))
}

fn position(
    text: &str,
    arguments: &Arguments,
    must: bool,
    find: impl Fn(&str, &str) -> Option<usize>,
) -> Result<Value, Error> {
    let what = arguments.required_string(0, "sub")?;
    let found = window(text, arguments)?
        .and_then(|(text, start)| find(text, &what).map(|byte| start + text[..byte].chars().count()));
    match found {
        Some(position) => Ok(Value::from(position)),
        None if must => Err(arguments.error("finds no such text")),
        None => Ok(Value::from(-1)),
    }
}

fn replaced(text: &str, arguments: &Arguments) -> Result<Value, Error> {
    let (old, new) = (arguments.required_string(0, "old")?, arguments.required_string(1, "new")?);
    let most = arguments.integer(2, "count")?.unwrap_or(-1);
    replace(text, &old, &new, most).map(Value::from)
}

/// The text in which `old` is replaced by `new`, at most `most` times unless that is negative.
pub fn replace(text: &str, old: &str, new: &str, most: i64) -> Result<String, Error> {
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let places = text.matches(old).take(most).count();
    bounds::make_text(places.saturating_mul(new.len()))?;
    Ok(text.replacen(old, new, most))
}

fn joined(text: &str, arguments: &Arguments) -> Result<Value, Error> {
    let mut out = String::new();
    let items = arguments.get(0, "iterable").unwrap_or_default();
    for (index, item) in python::iterate(&items)?.into_iter().enumerate() {
        bounds::make_text(text.len() + item.as_str().map_or(0, str::len))?;
        if index > 0 {
            out.push_str(text);
        }
        match item.as_str() {
            Some(item) => out.push_str(item),
            None => return Err(arguments.error(&format!("item {index} is no string"))),
        }
    }
    Ok(Value::from(out))
}

/// The text with a capital after every character that is no letter, and small letters elsewhere.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for c in text.chars() {
        if in_word {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        in_word = c.is_lowercase() || c.is_uppercase();
    }
    out
}

fn swapcase(text: &str) -> String {
    text.chars()
        .flat_map(|c| match c.is_uppercase() {
            true => c.to_lowercase().collect::<Vec<char>>(),
            false => c.to_uppercase().collect(),
        })
        .collect()
}

/// The largest width that a text is padded to.
const WIDEST: i64 = 1 << 20;

fn justified(text: &str, name: &str, arguments: &Arguments) -> Result<Value, Error> {
    let width = arguments.integer(0, "width")?.unwrap_or(0);
    let fill = arguments.string(1, "fillchar")?.unwrap_or_else(|| " ".into());
    if fill.chars().count() != 1 {
        return Err(arguments.error("needs one character to fill with"));
    }
    if name == "center" {
        return center(text, width, &fill, arguments);
    }
    let fill = fill.repeat(missing(text, width, arguments)?);
    Ok(Value::from(if name == "ljust" { format!("{text}{fill}") } else { format!("{fill}{text}") }))
}

/// `text.center(width, fill)`.
pub fn center(text: &str, width: i64, fill: &str, arguments: &Arguments) -> Result<Value, Error> {
    let missing = missing(text, width, arguments)?;
    // If the padding cannot be halved, CPython puts the extra character on the left if the width is odd.
    let left = missing / 2 + (missing & 1 & usize::from(width % 2 != 0));
    Ok(Value::from(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))))
}

/// The number of characters that a text lacks to be `width` characters wide.
fn missing(text: &str, width: i64, arguments: &Arguments) -> Result<usize, Error> {
    if width > WIDEST {
        return Err(arguments.error("asks for too wide a text"));
    }
    Ok(usize::try_from(width).unwrap_or(0).saturating_sub(text.chars().count()))
}

fn zero_filled(text: &str, width: i64) -> Value {
    let missing = usize::try_from(width.min(WIDEST)).unwrap_or(0).saturating_sub(text.chars().count());
    let sign = text.len() - text.trim_start_matches(['+', '-']).len();
    let sign = &text[..sign.min(1)];
    Value::from(format!("{sign}{}{}", "0".repeat(missing), &text[sign.len()..]))
}
