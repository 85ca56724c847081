//! The texts of a JSON list's items, one at a time, found without parsing them: in a text that the parser
//! accepts, every bracket or comma outside of strings is part of the structure.

use std::io::{self, BufRead};

/// How many times longer than the bound an item may be before reading ends.
const ENDLESS: usize = 64;

/// What follows an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum After {
    Comma,
    /// The end of the list.
    Bracket,
    /// The end of the file.
    Nothing,
    /// The item is far longer than the bound, and was not read to its end.
    Endless,
}

/// An item of the list.
#[derive(Debug, PartialEq, Eq)]
pub struct Element {
    /// Its text, without white space around it; empty if the item is longer than the bound.
    pub text: Vec<u8>,
    pub is_too_long: bool,
    /// Line and column of its first byte, from 1.
    pub line: usize,
    pub column: usize,
    pub after: After,
}

/// Reads the items of a list.
pub struct Elements<R> {
    reader: R,
    bound: usize,
    /// Those of the next byte, from 1.
    pub line: usize,
    pub column: usize,
}

impl<R: BufRead> Elements<R> {
    /// `reader` is at a place of its own: at the bracket that opens the list, or in white space before it.
    pub fn new(reader: R, bound: usize) -> Self {
        Self { reader, bound, line: 1, column: 1 }
    }

    /// Passes over white space. The next byte, which is left where it is; `None` at the end of the file.
    pub fn peek(&mut self) -> io::Result<Option<u8>> {
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            let Some(&byte) = bytes.first() else { return Ok(None) };
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.skip(byte);
        }
    }

    /// Passes over the next byte, which is `byte`.
    pub fn skip(&mut self, byte: u8) {
        self.reader.consume(1);
        self.count(byte);
    }

    fn count(&mut self, byte: u8) {
        match byte {
            b'\n' => (self.line, self.column) = (self.line + 1, 1),
            _ => self.column += 1,
        }
    }

    /// The next item, and what follows it, which is passed over.
    pub fn next_element(&mut self) -> io::Result<Element> {
        self.peek()?;
        let mut element = Element {
            text: Vec::new(),
            is_too_long: false,
            line: self.line,
            column: self.column,
            after: After::Nothing,
        };
        let mut scan = Scan::default();
        let mut length = 0;
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            let end = bytes.iter().position(|&byte| scan.ends(byte));
            let inner = &bytes[..end.unwrap_or(bytes.len())];
            length += inner.len();
            match length <= self.bound {
                true => element.text.extend_from_slice(inner),
                false => (element.is_too_long, element.text) = (true, Vec::new()),
            }
            let closing = end.map(|at| bytes[at]);
            let taken = inner.len() + usize::from(end.is_some());
            let (lines, last) = line_ends(&bytes[..taken]);
            self.line += lines;
            self.column = last.map_or(self.column + taken, |last| taken - last);
            self.reader.consume(taken);
            element.after = match closing {
                Some(b',') => After::Comma,
                Some(_) => After::Bracket,
                None if taken == 0 => After::Nothing,
                None if length > self.bound.saturating_mul(ENDLESS) => After::Endless,
                None => continue,
            };
            let end = element.text.trim_ascii_end().len();
            element.text.truncate(end);
            return Ok(element);
        }
    }
}

/// The number of line ends, and the place of the last.
fn line_ends(bytes: &[u8]) -> (usize, Option<usize>) {
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    (lines, bytes.iter().rposition(|byte| *byte == b'\n'))
}

/// Where in the structure the next byte is.
#[derive(Debug, Default)]
struct Scan {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Whether `byte` follows an item.
    fn ends(&mut self, byte: u8) -> bool {
        match byte {
            _ if self.escaped => self.escaped = false,
            b'\\' if self.in_string => self.escaped = true,
            b'"' => self.in_string = !self.in_string,
            _ if self.in_string => {}
            b'[' | b'{' => self.depth += 1,
            b',' | b']' if self.depth == 0 => return true,
            b']' | b'}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_begin_where_they_are_written() {
        let text = "[\n\n {\"a\": [1,\n 2]} ,\n\"],\\\"\\\\\", [\n],\n3, null\n]";
        let mut elements = Elements::new(io::BufReader::with_capacity(2, text.as_bytes()), 99);
        assert_eq!(elements.peek().unwrap(), Some(b'['));
        elements.skip(b'[');
        let all: Vec<Element> = (0..5).map(|_| elements.next_element().unwrap()).collect();
        let places: Vec<_> = all.iter().map(|element| (element.line, element.column)).collect();
        assert_eq!(places, [(3, 2), (5, 1), (5, 11), (7, 1), (7, 4)]);
        assert_eq!(all[0].text, b"{\"a\": [1,\n 2]}");
        assert_eq!((all[3].after, all[4].after), (After::Comma, After::Bracket));
        assert_eq!((elements.line, elements.column), (8, 2));
    }

    #[test]
    fn long_items_are_passed_over() {
        let text = format!("\"{}\", 1 ]", "],".repeat(30));
        let mut elements = Elements::new(text.as_bytes(), 8);
        let first = elements.next_element().unwrap();
        assert_eq!((first.is_too_long, first.text.len(), first.after), (true, 0, After::Comma));
        assert_eq!(elements.next_element().unwrap().text, b"1");
    }
}
