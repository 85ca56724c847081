//! What people read: text from rows, templates and model files can neither steer a terminal nor flood it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

/// Characters of a line that are shown; of a longer one, the beginning and the end.
const LINE: usize = 4_000;
/// Lines of one message that are shown, at most.
const LINES: usize = 2_000;

/// The text with its control characters written as escapes, but for ends of lines and tabs, and its long lines
/// cut in the middle.
pub fn safe(text: &str) -> Cow<'_, str> {
    let lines = text.bytes().filter(|&byte| byte == b'\n').count();
    let is_plain = |line: &str| line.len() <= LINE && !line.chars().any(is_harmful);
    if lines <= LINES && text.lines().all(is_plain) && !text.contains('\r') {
        return Cow::Borrowed(text);
    }
    let mut shown = String::new();
    for line in text.split_inclusive('\n').take(LINES) {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        shown.push_str(&escaped(&shortened(line)));
        shown.push_str(end);
    }
    if lines > LINES {
        // Writing to a string cannot fail.
        let _ = writeln!(shown, "… and {} more lines", lines - LINES);
    }
    Cow::Owned(shown)
}

/// Writes a message to standard error, and ends the line. If nobody reads standard error, there is nowhere to
/// say so, and no reason to stop.
pub fn tell(message: &str) {
    let _ = writeln!(io::stderr(), "{}", safe(message));
}

/// Writes a message to standard output. Errors if it cannot be written.
pub fn print(message: &str) -> io::Result<()> {
    io::stdout().write_all(safe(message).as_bytes())
}

/// The line, or its beginning and its end if it is long.
fn shortened(line: &str) -> Cow<'_, str> {
    if line.len() <= LINE || line.chars().count() <= LINE {
        return Cow::Borrowed(line);
    }
    let characters = line.chars().count();
    let beginning: String = line.chars().take(LINE * 3 / 4).collect();
    let end: String = line.chars().skip(characters - LINE / 4).collect();
    Cow::Owned(format!("{beginning} … ({characters} characters) … {end}"))
}

/// The line with escapes in the place of harmful characters.
pub fn escaped(line: &str) -> Cow<'_, str> {
    if !line.chars().any(is_harmful) {
        return Cow::Borrowed(line);
    }
    let mut shown = String::with_capacity(line.len() + 16);
    for character in line.chars() {
        match is_harmful(character) {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    Cow::Owned(shown)
}

/// Control characters but for ends of lines and tabs, and characters that change the direction of those after
/// them.
fn is_harmful(character: char) -> bool {
    let turns = matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (character.is_control() && character != '\t' && character != '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_as_escapes() {
        assert_eq!(safe("plain ü\tand\n日本\n"), "plain ü\tand\n日本\n");
        assert_eq!(
            safe("\u{1b}]0;owned\u{7}\r\u{9b}2J\u{202e}x\n"),
            "\\u{1b}]0;owned\\u{7}\\r\\u{9b}2J\\u{202e}x\n"
        );
    }

    #[test]
    fn messages_have_a_bound() {
        let line = "k".repeat(1_000_000);
        let shown = safe(&line);
        assert!(shown.len() < 2 * LINE && shown.contains("(1000000 characters)"), "{}", shown.len());
        let lines = "a\n".repeat(LINES + 7);
        assert!(safe(&lines).ends_with("a\n… and 7 more lines\n"));
    }
}
