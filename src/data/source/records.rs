//! Records of comma-separated values (RFC 4180), read one at a time within a bound: cells in quotation marks
//! may hold commas, line ends and doubled quotation marks.

use std::io::{self, BufRead};

/// The cells of a record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cells {
    bytes: Vec<u8>,
    /// Where each cell ends in `bytes`.
    ends: Vec<usize>,
}

impl Cells {
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

/// What was read. `line` is the one at which the record begins, from 1.
#[derive(Debug, PartialEq, Eq)]
pub enum Record {
    Whole {
        line: usize,
        cells: Cells,
    },
    /// A cell in quotation marks goes on after them: the cell's number, from 1, and the line.
    AfterQuote {
        line: usize,
        cell: usize,
    },
    /// The record is longer than the bound; it was passed over.
    TooLong {
        line: usize,
    },
    /// The file, or the bound, ends within quotation marks that were opened at this line.
    OpenQuote {
        line: usize,
        ends: bool,
    },
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    RecordStart,
    CellStart,
    Plain,
    Quoted,
    /// After a quotation mark within a quoted cell.
    Quote,
    /// In what follows the closing quotation mark.
    After,
}

/// Reads records of a stream.
pub struct Records<R> {
    reader: R,
    bound: usize,
    line: usize,
}

impl<R: BufRead> Records<R> {
    /// `reader` is at the beginning of the file. No more than `bound` bytes of a record are held.
    pub fn new(reader: R, bound: usize) -> Self {
        Self { reader, bound, line: 1 }
    }

    /// The line that is being read.
    pub fn line(&self) -> usize {
        self.line
    }

    pub fn next_record(&mut self) -> io::Result<Record> {
        let mut open = OpenRecord::new(self.line, self.bound);
        loop {
            let bytes = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                bytes => bytes?,
            };
            if bytes.is_empty() {
                return Ok(open.at_end());
            }
            let mut taken = 0;
            let mut done = false;
            for &byte in bytes {
                taken += 1;
                done = open.take(byte, self.line);
                self.line += usize::from(byte == b'\n');
                if done {
                    break;
                }
            }
            self.reader.consume(taken);
            if done {
                return Ok(open.finish());
            }
        }
    }
}

/// A record that is being read.
struct OpenRecord {
    state: State,
    cells: Cells,
    bound: usize,
    length: usize,
    line: usize,
    quote_line: usize,
    /// The first cell that goes on after its closing quotation mark.
    after_quote: Option<usize>,
    spans_lines: bool,
}

impl OpenRecord {
    fn new(line: usize, bound: usize) -> Self {
        Self {
            state: State::RecordStart,
            cells: Cells::default(),
            bound,
            length: 0,
            line,
            quote_line: line,
            after_quote: None,
            spans_lines: false,
        }
    }

    fn is_too_long(&self) -> bool {
        self.length > self.bound
    }

    fn push(&mut self, byte: u8) {
        if !self.is_too_long() {
            self.cells.bytes.push(byte);
        }
    }

    fn end_cell(&mut self) {
        if !self.is_too_long() {
            self.cells.ends.push(self.cells.bytes.len());
        }
    }

    /// Takes one more byte, which is in `line`. Whether the record ends with it.
    fn take(&mut self, byte: u8, line: usize) -> bool {
        let is_end = matches!(byte, b'\n' | b'\r');
        if self.state == State::RecordStart {
            if is_end {
                return false;
            }
            self.line = line;
            self.state = State::CellStart;
        }
        self.length += 1;
        if self.is_too_long() {
            self.cells = Cells::default();
        }
        match (self.state, byte) {
            (State::Quoted, b'"') => self.state = State::Quote,
            (State::Quoted, _) => {
                self.spans_lines |= byte == b'\n';
                self.push(byte);
                // What a quotation mark that is never closed swallows has no end.
                return self.is_too_long();
            }
            (State::Quote, b'"') => {
                self.push(byte);
                self.state = State::Quoted;
            }
            (_, b',') => {
                self.end_cell();
                self.state = State::CellStart;
            }
            _ if is_end => {
                self.end_cell();
                return true;
            }
            (State::CellStart, b'"') => {
                self.state = State::Quoted;
                self.quote_line = line;
                self.spans_lines = false;
            }
            (State::Quote | State::After, _) => {
                if self.spans_lines || !byte.is_ascii_whitespace() {
                    self.after_quote.get_or_insert(self.cells.len() + 1);
                }
                self.push(byte);
                self.state = State::After;
            }
            _ => {
                self.push(byte);
                self.state = State::Plain;
            }
        }
        false
    }

    /// The record, when its line or the stream ends.
    fn finish(&mut self) -> Record {
        let line = self.line;
        match self.after_quote {
            _ if self.state == State::Quoted => Record::OpenQuote { line: self.quote_line, ends: false },
            _ if self.is_too_long() => Record::TooLong { line },
            Some(cell) => Record::AfterQuote { line, cell },
            None => Record::Whole { line, cells: std::mem::take(&mut self.cells) },
        }
    }

    fn at_end(&mut self) -> Record {
        match self.state {
            State::RecordStart => Record::End,
            State::Quoted => Record::OpenQuote { line: self.quote_line, ends: true },
            _ => {
                self.end_cell();
                self.finish()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each record in words.
    fn read(text: &str, bound: usize) -> Vec<String> {
        let mut records = Records::new(io::BufReader::with_capacity(3, text.as_bytes()), bound);
        let mut found = Vec::new();
        loop {
            let record = records.next_record().unwrap();
            found.push(match &record {
                Record::Whole { line, cells } => {
                    let cells: Vec<_> = cells.iter().map(|cell| String::from_utf8_lossy(cell)).collect();
                    format!("{line}: {}", cells.join("|"))
                }
                Record::End => return found,
                other => format!("{other:?}"),
            });
            if matches!(record, Record::OpenQuote { .. }) {
                return found;
            }
        }
    }

    #[test]
    fn cells_and_the_lines_at_which_records_begin() {
        let text = "a,b\r\n\r\n1,2\r\n\n\"3\n4\",5\n6,\"7 \"\"8\"\"\" \n,";
        assert_eq!(read(text, 99), ["1: a|b", "3: 1|2", "5: 3\n4|5", "7: 6|7 \"8\" ", "8: |"]);
    }

    #[test]
    fn a_quote_that_swallows_lines_is_told() {
        assert_eq!(read("a,\"b\nc,d\n", 99), ["OpenQuote { line: 1, ends: true }"]);
        assert_eq!(read("a,\"b\nc,\"d\ne,f", 99), ["AfterQuote { line: 1, cell: 2 }", "3: e|f"]);
        assert_eq!(read("x,\"say \"hi\" now\"\n1,2", 99), ["AfterQuote { line: 1, cell: 2 }", "2: 1|2"]);
    }

    #[test]
    fn a_long_record_is_passed_over() {
        assert_eq!(read("a,b\nccccc,ddddd\ne,f", 6), ["1: a|b", "TooLong { line: 2 }", "3: e|f"]);
        assert_eq!(read("a,b\nc,\"dddddddddd\n", 6), ["1: a|b", "OpenQuote { line: 2, ends: false }"]);
    }
}
