//! Files with one JSON object per line. Blank lines are not rows.

use std::io::BufRead;
use std::path::Path;

use anyhow::{Result, bail};

use super::lines::{LineRead, next_line};
use super::open::read_error;
use super::{RawContent, RawRow, Sink};
use crate::data::reason::RowReason;

pub fn for_each_row(path: &Path, mut reader: impl BufRead, bound: usize, sink: &mut Sink) -> Result<()> {
    let mut bytes = Vec::new();
    let mut is_first = true;
    for line in 1.. {
        let read = next_line(&mut reader, &mut bytes, bound);
        let content = match read.map_err(|error| read_error(path, line - 1, &error))? {
            LineRead::End => break,
            LineRead::Endless => bail!("`{}` line {line}: {}", path.display(), endless(bound)),
            LineRead::TooLong => RawContent::Refused(RowReason::TooLong { bound }),
            LineRead::Whole => {
                if line == 1 && bytes.starts_with(b"\xef\xbb\xbf") {
                    bytes.drain(..3);
                }
                let content = bytes.trim_ascii();
                if content.is_empty() {
                    continue;
                }
                if std::mem::take(&mut is_first)
                    && let Some(remedy) = goes_on(content)
                {
                    bail!(
                        "`{}`: expected one row a line; the first line is half of one: {remedy}",
                        path.display()
                    );
                }
                RawContent::Line(std::mem::take(&mut bytes))
            }
        };
        is_first = false;
        if sink(RawRow { line, content })?.is_break() {
            break;
        }
    }
    Ok(())
}

/// What is said of a line that is far longer than the bound.
fn endless(bound: usize) -> String {
    format!(
        "the line does not end, and is far longer than {bound} bytes (`max_row_bytes`); is this a file of rows?"
    )
}

/// Advice about a file whose first line opens a list or an object that goes on in the next lines.
fn goes_on(first: &[u8]) -> Option<&'static str> {
    match first {
        b"[" | b"[{" => Some("a list of rows stands in a file named `.json`"),
        b"{" => Some("write each object on a line of its own"),
        _ => None,
    }
}
