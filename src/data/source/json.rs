//! An array of objects, read one element at a time; or, as data sets on the hub have it under the
//! same extension, one object a line.

use std::fmt;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::{Result, anyhow};
use serde::de::{DeserializeSeed, Deserializer, SeqAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::open::read_error;
use super::{RawRow, Sink, jsonl, object};
use crate::data::reason::Reason;

pub fn for_each_row(path: &Path, mut reader: impl BufRead, sink: &mut Sink) -> Result<()> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).map_err(|error| read_error(path, 0, &error))?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let start = bytes.trim_ascii_start();
    if start.is_empty() {
        return Ok(());
    }
    if start[0] != b'[' {
        return jsonl::for_each_row(path, bytes, sink);
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let line = bytes[..error.valid_up_to()].iter().filter(|&&byte| byte == b'\n').count() + 1;
        anyhow!("`{}`: not UTF-8 at line {line}", path.display())
    })?;
    let mut rows = Rows { sink, text, failed: None, stopped: false };
    let mut json = serde_json::Deserializer::from_str(text);
    let result = (&mut rows).deserialize(&mut json).and_then(|()| json.end());
    match (rows.failed, rows.stopped, result) {
        (Some(error), _, _) => Err(error),
        (None, false, Err(error)) => Err(anyhow!("`{}`: not JSON: {error}", path.display())),
        _ => Ok(()),
    }
}

/// Hands each element of an array to the sink, so that only one is held at a time.
struct Rows<'a, 'b> {
    sink: &'a mut Sink<'b>,
    /// The file's text, which the elements are parts of.
    text: &'a str,
    failed: Option<anyhow::Error>,
    stopped: bool,
}

impl<'de> DeserializeSeed<'de> for &mut Rows<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for &mut Rows<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("an array of rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let (mut line, mut counted) = (1, 0);
        while let Some(element) = elements.next_element::<&RawValue>()? {
            let start = (element.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
            let passed = self.text.as_bytes().get(counted..start).unwrap_or_default();
            line += passed.iter().filter(|&&byte| byte == b'\n').count();
            counted = start.max(counted);
            let row = match serde_json::from_str::<Value>(element.get()) {
                Ok(value) => object(line, value),
                Err(error) => RawRow { line, object: Err(Reason::NotJson(jsonl::at_column(&error))) },
            };
            match (self.sink)(row) {
                Ok(ControlFlow::Continue(())) => continue,
                Ok(ControlFlow::Break(())) => {}
                Err(error) => self.failed = Some(error),
            }
            // Ends the parse here: what follows is not wanted, and `for_each_row` knows.
            self.stopped = true;
            return Err(serde::de::Error::custom("stopped"));
        }
        Ok(())
    }
}
