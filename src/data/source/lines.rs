//! Tells at which line a byte of a stream is, without keeping the stream in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// For each line that is not blank, its number (from 1) and the position of the newline that ends it.
#[derive(Debug, Default)]
struct LineEnds {
    ends: VecDeque<(usize, u64)>,
    line: usize,
    byte: u64,
    is_blank: bool,
}

/// Reads a stream and notes where its lines end.
pub struct Noting<R> {
    inner: R,
    ends: Rc<RefCell<LineEnds>>,
}

/// Tells the lines of bytes that were read through a [`Noting`].
pub struct Lines(Rc<RefCell<LineEnds>>);

impl<R: Read> Noting<R> {
    pub fn new(inner: R) -> (Self, Lines) {
        let ends = LineEnds { line: 1, is_blank: true, ..LineEnds::default() };
        let ends = Rc::new(RefCell::new(ends));
        (Self { inner, ends: Rc::clone(&ends) }, Lines(ends))
    }
}

impl<R: Read> Read for Noting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.ends.borrow_mut().note(&buffer[..read]);
        Ok(read)
    }
}

impl LineEnds {
    fn note(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                if !self.is_blank {
                    self.ends.push_back((self.line, self.byte));
                }
                self.line += 1;
                self.is_blank = true;
            } else if *byte != b'\r' {
                self.is_blank = false;
            }
            self.byte += 1;
        }
    }
}

impl Lines {
    /// The line of the first byte from `byte` on that is in no blank line and ends none. Later calls must
    /// not ask for earlier bytes.
    pub fn at(&self, byte: u64) -> usize {
        let mut ends = self.0.borrow_mut();
        while ends.ends.front().is_some_and(|(_, end)| *end <= byte) {
            ends.ends.pop_front();
        }
        ends.ends.front().map_or(ends.line, |(line, _)| *line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_and_line_ends_begin_nothing() {
        let text = "a,b\r\n\r\n1,2\r\n\n\"3\n4\",5\n6,7";
        let (mut noting, lines) = Noting::new(text.as_bytes());
        io::copy(&mut noting, &mut io::sink()).unwrap();
        let at = |what: &str| lines.at(text.find(what).unwrap() as u64);
        assert_eq!([at("a"), at("\n\r"), at("1"), at("\"3"), at("6")], [1, 3, 3, 5, 7]);
    }
}
