//! Lines of a stream, each held within a bound.

use std::io::{self, BufRead};

/// A line that is this many times longer than the bound ends the reading, for what follows may have no end.
const ENDLESS: u64 = 64;

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LineRead {
    /// A whole line is in the buffer, with its end if it has one.
    Whole,
    /// The line is longer than the bound; it was passed over.
    TooLong,
    /// The line goes on and on; it was not read to its end.
    Endless,
    /// There is no more line.
    End,
}

/// Reads the next line into `line`, whose former content goes. At most `bound` bytes of it are held.
pub fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, bound: usize) -> io::Result<LineRead> {
    line.clear();
    let mut length = 0_u64;
    loop {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
        let taken = end.unwrap_or(bytes.len());
        length += taken as u64;
        match length <= bound as u64 {
            true => line.extend_from_slice(&bytes[..taken]),
            false => *line = Vec::new(),
        }
        reader.consume(taken);
        if end.is_none() && taken > 0 && length <= (bound as u64).saturating_mul(ENDLESS) {
            continue;
        }
        return Ok(match (length, end) {
            (0, _) => LineRead::End,
            (length, _) if length <= bound as u64 => LineRead::Whole,
            (_, None) if taken > 0 => LineRead::Endless,
            _ => LineRead::TooLong,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_passed_over_and_the_next_is_read() {
        let text = format!("ab\n{}\ncd", "x".repeat(20));
        let mut reader = io::BufReader::with_capacity(3, text.as_bytes());
        let mut line = Vec::new();
        let mut next = || (next_line(&mut reader, &mut line, 4).unwrap(), line.clone());
        assert_eq!(next(), (LineRead::Whole, b"ab\n".to_vec()));
        assert_eq!(next(), (LineRead::TooLong, Vec::new()));
        assert_eq!(next(), (LineRead::Whole, b"cd".to_vec()));
        assert_eq!(next(), (LineRead::End, Vec::new()));
    }

    #[test]
    fn a_line_without_end_is_given_up() {
        let mut reader = io::BufReader::new(io::repeat(b'x'));
        assert_eq!(next_line(&mut reader, &mut Vec::new(), 8).unwrap(), LineRead::Endless);
    }
}
