//! A list of objects, read one item at a time; or, as data sets on the hub have it under the same extension,
//! one object per line.

use std::io::{BufRead, Read};
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use serde_json::{Map, Value};

use super::elements::{After, Element, Elements};
use super::lines::{LineRead, next_line};
use super::open::read_error;
use super::outline::{breaks_off, other_than_rows};
use super::{RawContent, RawRow, Sink, as_object, jsonl, words};
use crate::data::reason::RowReason;
use crate::json_file::{self, JsonFault};

pub fn for_each_row(path: &Path, mut reader: impl BufRead, bound: usize, sink: &mut Sink) -> Result<()> {
    let failed = |line: usize, error| read_error(path, line.saturating_sub(1), &error);
    // The byte order mark and blank lines before the first value.
    let mut before = Vec::new();
    let first = loop {
        let bytes = reader.fill_buf().map_err(|error| failed(1, error))?;
        let Some(&byte) = bytes.first() else { return Ok(()) };
        let is_mark = b"\xef\xbb\xbf".get(before.len()) == Some(&byte);
        if !byte.is_ascii_whitespace() && !is_mark {
            break byte;
        }
        before.push(byte);
        reader.consume(1);
        if before.len() > bound {
            bail!("`{}`: the file begins with more than {bound} blank bytes", path.display());
        }
    };
    if first != b'[' {
        return lines(path, before, reader, bound, sink);
    }
    let mut elements = Elements::new(reader, bound);
    for byte in before.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&before) {
        match byte {
            b'\n' => (elements.line, elements.column) = (elements.line + 1, 1),
            _ => elements.column += 1,
        }
    }
    elements.skip(b'[');
    list(path, &mut elements, bound, sink)
}

/// The items of a list.
fn list(path: &Path, elements: &mut Elements<impl BufRead>, bound: usize, sink: &mut Sink) -> Result<()> {
    let not_json = |what: &str, line: usize, column: usize| {
        anyhow!("`{}`: not JSON: {what} at line {line} column {column}", path.display())
    };
    for index in 0.. {
        let read = elements.next_element();
        let Element { text, is_too_long, line, column, after } =
            read.map_err(|error| read_error(path, elements.line.saturating_sub(1), &error))?;
        let is_empty = text.is_empty() && !is_too_long;
        match after {
            After::Endless => bail!(
                "`{}` line {line}: an item of the list is far longer than {bound} bytes (`max_row_bytes`)",
                path.display()
            ),
            After::Nothing if is_empty || is_too_long => {
                return Err(not_json("EOF while parsing a list", elements.line, elements.column));
            }
            After::Nothing => {
                // It is an error, of which the parser knows the place.
                object(path, &text, line, column)?.ok();
                return Err(not_json("EOF while parsing a list", elements.line, elements.column));
            }
            After::Bracket if is_empty && index == 0 => break,
            After::Bracket if is_empty => return Err(not_json("trailing comma", line, column)),
            After::Comma if is_empty => return Err(not_json("expected value", line, column)),
            After::Comma | After::Bracket => {}
        }
        let content = match is_too_long {
            true => RawContent::Refused(RowReason::TooLong { bound }),
            false => RawContent::Element(text, column),
        };
        if sink(RawRow { line, content })?.is_break() {
            return Ok(());
        }
        if after == After::Bracket {
            break;
        }
    }
    let next = elements.peek().map_err(|error| read_error(path, elements.line.saturating_sub(1), &error))?;
    match next {
        Some(_) => Err(not_json("trailing characters", elements.line, elements.column)),
        None => Ok(()),
    }
}

/// The row that an item of a list is. `line` and `column` are where it begins. Errors if it is not JSON.
pub fn object(
    path: &Path,
    text: &[u8],
    line: usize,
    column: usize,
) -> Result<Result<Map<String, Value>, RowReason>> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let lines = text[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count();
        anyhow!("`{}`: not UTF-8 at line {}", path.display(), line + lines)
    })?;
    match json_file::parse(text) {
        Ok(value) => Ok(as_object(value)),
        Err(JsonFault::KeyTwice { key, .. }) => Ok(Err(RowReason::KeyTwice(key))),
        Err(JsonFault::NotJson(error)) => {
            let what = match words(&error) {
                what if what == "trailing characters" => "expected `,` or `]`".to_owned(),
                what => what,
            };
            let at = if error.line() == 1 { column - 1 + error.column() } else { error.column() };
            let line = line + error.line().saturating_sub(1);
            bail!("`{}`: not JSON: {what} at line {line} column {at}", path.display())
        }
    }
}

/// One object per line. `before` is what was read of the file already.
fn lines(
    path: &Path,
    before: Vec<u8>,
    mut reader: impl BufRead,
    bound: usize,
    sink: &mut Sink,
) -> Result<()> {
    let found = |found: &str| {
        anyhow!("`{}`: expected a list of rows, or one row a line; found {found}", path.display())
    };
    let failed = |line: usize, error| read_error(path, line, &error);
    let mut first = Vec::new();
    let read = next_line(&mut reader, &mut first, bound).map_err(|error| failed(0, error))?;
    if read != LineRead::Whole {
        let what = format!("a line of more than {bound} bytes (`max_row_bytes`)");
        return Err(found(&what));
    }
    let is_last = reader.fill_buf().map_err(|error| failed(1, error))?.trim_ascii().is_empty();
    if first.starts_with(b"{") {
        let goes_on = breaks_off(&first);
        if goes_on && !is_last {
            let over_lines =
                "objects over several lines: put them between `[` and `]`, with commas between them";
            let mut whole = first;
            let room = (bound as u64).saturating_sub(whole.len() as u64);
            reader.take(room).read_to_end(&mut whole).map_err(|error| failed(1, error))?;
            return Err(found(&other_than_rows(&whole, false).unwrap_or_else(|| over_lines.to_owned())));
        }
        if is_last && let Some(what) = other_than_rows(&first, true) {
            return Err(found(&what));
        }
    }
    let read = std::io::Cursor::new([before, first].concat());
    jsonl::for_each_row(path, read.chain(reader), bound, sink)
}
