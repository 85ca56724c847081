//! An array of objects, read one element at a time; or, as data sets on the hub have it under the same
//! extension, one object per line.

use std::fmt;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Result, anyhow, bail};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::open::read_error;
use super::{Sink, jsonl, object};

pub fn for_each_row(path: &Path, mut reader: impl BufRead, sink: &mut Sink) -> Result<()> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|error| read_error(path, 0, &error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let start = bytes.trim_ascii_start();
    if start.is_empty() {
        return Ok(());
    }
    if start[0] != b'[' {
        if let Some(found) = other_than_rows(start) {
            bail!("`{}`: expected a list of rows, or one row a line; found {found}", path.display());
        }
        return jsonl::for_each_row(path, bytes, sink);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        anyhow!("`{}`: not UTF-8 at line {line}", path.display())
    })?;
    let mut rows = JsonRows { sink, starts: Starts::new(bytes), failed: None, stopped: false };
    let mut json = serde_json::Deserializer::from_str(text);
    let result = (&mut rows).deserialize(&mut json).and_then(|()| json.end());
    match (rows.failed, rows.stopped, result) {
        (Some(error), _, _) => Err(error),
        (None, false, Err(error)) => Err(anyhow!("`{}`: not JSON: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Keys under which files that are one object have their list of rows.
const WRAPPERS: [&str; 7] = ["data", "rows", "train", "examples", "instances", "items", "records"];

/// Keys of rows: an object with one of them is a row, whatever other keys it has.
const ROW: [&str; 7] = ["prompt", "messages", "conversations", "instruction", "query", "chosen", "text"];

/// Says what a file is, if it is neither a list nor one object per line: one object that is no row, or
/// objects that extend over several lines.
fn other_than_rows(bytes: &[u8]) -> Option<String> {
    let is_one_line = !bytes.trim_ascii().contains(&b'\n');
    match serde_json::from_slice::<Map<String, Value>>(bytes) {
        Ok(map) => {
            let names: Vec<&str> = map.keys().take(5).map(String::as_str).collect();
            let more = if map.len() > names.len() { ", …" } else { "" };
            let found = format!("one object with the keys `{}`{more}", names.join("`, `"));
            let is_rows = |value: &Value| {
                value.as_array().is_some_and(|rows| !rows.is_empty() && rows.iter().all(Value::is_object))
            };
            let is_row = ROW.iter().any(|key| map.contains_key(*key));
            let wrapper = WRAPPERS.iter().find(|key| !is_row && map.get(**key).is_some_and(is_rows));
            let is_number = |key: &String| key.bytes().all(|byte| byte.is_ascii_digit());
            let numbered = |map: &Map<String, Value>| !map.is_empty() && map.keys().all(is_number);
            let is_table =
                !map.is_empty() && map.values().all(|column| column.as_object().is_some_and(numbered));
            match wrapper {
                Some(key) => Some(format!("{found}: make the list that `{key}` holds the whole file")),
                None if numbered(&map) || is_table => {
                    Some(format!("{found}: write its rows as a list (pandas: `orient=\"records\"`)"))
                }
                None if !is_one_line => Some(format!("{found}: if it is a row, put it between `[` and `]`")),
                None => None,
            }
        }
        // The first line is not a whole object: the object goes on in the next lines.
        Err(_) if !is_one_line && bytes.starts_with(b"{") => {
            let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let goes_on = serde_json::from_slice::<Value>(line).is_err_and(|error| error.is_eof());
            let found = "objects over several lines: put them between `[` and `]`, with commas between them";
            goes_on.then(|| found.to_owned())
        }
        Err(_) => None,
    }
}

/// Gives each element of an array to the sink, so that only one is in memory at a time.
struct JsonRows<'a, 'b> {
    sink: &'a mut Sink<'b>,
    starts: Starts<'a>,
    failed: Option<anyhow::Error>,
    stopped: bool,
}

impl<'de> DeserializeSeed<'de> for &mut JsonRows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut JsonRows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(value) = elements.next_element::<Value>()? {
            let row = object(self.starts.next().unwrap_or_default(), value);
            match (self.sink)(row) {
                Ok(ControlFlow::Continue(())) => continue,
                Ok(ControlFlow::Break(())) => {}
                Err(error) => self.failed = Some(error),
            }
            // This error ends the parse here, since the rest is not wanted; `for_each_row` does not report
            // it.
            self.stopped = true;
            return Err(serde::de::Error::custom("stopped"));
        }
        Ok(())
    }
}

/// The lines at which the elements of an array begin, found without parsing them. In a text that the parser
/// accepts, every bracket or comma outside of strings is part of the structure.
struct Starts<'a> {
    bytes: std::slice::Iter<'a, u8>,
    line: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Whether the next byte that is not white space begins an element.
    awaited: bool,
}

impl<'a> Starts<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes: bytes.iter(), line: 1, depth: 0, in_string: false, escaped: false, awaited: false }
    }
}

impl Iterator for Starts<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        for &byte in self.bytes.by_ref() {
            let begins = self.awaited && !byte.is_ascii_whitespace();
            self.awaited &= !begins;
            self.line += usize::from(byte == b'\n');
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' if self.in_string => self.escaped = true,
                b'"' => self.in_string = !self.in_string,
                _ if self.in_string => {}
                b'[' | b'{' => {
                    self.depth += 1;
                    self.awaited = self.depth == 1;
                }
                b']' | b'}' => self.depth = self.depth.saturating_sub(1),
                b',' if self.depth == 1 => self.awaited = true,
                _ => {}
            }
            if begins {
                return Some(self.line);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_begin_where_they_are_written() {
        let text = "[\n\n {\"a\": [1,\n 2]} ,\n\"],\\\"\\\\\", [\n],\n3, null\n]";
        assert_eq!(Starts::new(text.as_bytes()).take(5).collect::<Vec<_>>(), [3, 5, 5, 7, 7]);
    }
}
