//! A template's source as tokens, read as Jinja2's lexer does with `trim_blocks` and `lstrip_blocks`: the
//! text between the tags no longer has the white space that whitespace control removes.

use super::token::{SyntaxError, Token, TokenKind};
use super::{escapes, literals, spaces};

/// The operators, longer ones before those that they begin with.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",", ";",
];

/// The tokens of `source`, the last of them [`TokenKind::End`].
pub fn tokens(source: &str) -> Result<Vec<Token>, SyntaxError> {
    let mut source = source.replace("\r\n", "\n").replace('\r', "\n");
    if source.ends_with('\n') {
        source.pop();
    }
    let mut lexer =
        Lexer { source: &source, at: 0, line: 1, line_start: true, tokens: Vec::new(), open: Vec::new() };
    lexer.text()?;
    lexer.push(TokenKind::End);
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    /// Whether what was read last ended with a newline.
    line_start: bool,
    tokens: Vec<Token>,
    /// The closing brackets of the brackets that are open within a tag.
    open: Vec<char>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn push(&mut self, kind: TokenKind) {
        self.tokens.push(Token { kind, line: self.line });
    }

    /// Moves on by `length` bytes.
    fn skip(&mut self, length: usize) {
        let text = &self.source[self.at..self.at + length];
        self.line += text.matches('\n').count();
        self.line_start = text.ends_with('\n');
        self.at += length;
    }

    fn error<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(self.line, what))
    }

    /// Reads text up to the end of the template, and the tags in it.
    fn text(&mut self) -> Result<(), SyntaxError> {
        while !self.rest().is_empty() {
            let Some((length, opener)) = next_opener(self.rest()) else {
                self.push(TokenKind::Data(self.rest().to_owned()));
                self.skip(self.rest().len());
                return Ok(());
            };
            let after = &self.rest()[length + 2..];
            let sign = sign(after);
            self.data(length, sign, opener != '{');
            match opener {
                '#' => self.comment(2 + sign.len())?,
                '%' => match raw_opening(&after[sign.len()..]) {
                    Some(opening) => self.raw(2 + sign.len() + opening)?,
                    None => self.tag(2 + sign.len(), TokenKind::TagBegin, "%}")?,
                },
                _ => self.tag(2 + sign.len(), TokenKind::PrintBegin, "}}")?,
            }
        }
        Ok(())
    }

    /// Reads a text of `length` bytes before a tag that has the whitespace sign `sign`.
    fn data(&mut self, length: usize, sign: &str, strips_line: bool) {
        let text = &self.rest()[..length];
        let kept = match sign {
            "-" => text.trim_end_matches(spaces::is_space),
            "+" => text,
            _ => {
                let line = text.rfind('\n').map_or(0, |at| at + 1);
                let blank = text[line..].chars().all(spaces::is_space);
                if strips_line && blank && (line > 0 || self.line_start) { &text[..line] } else { text }
            }
        };
        if !kept.is_empty() {
            self.push(TokenKind::Data(kept.to_owned()));
        }
        if length > 0 {
            self.skip(length);
        }
    }

    fn comment(&mut self, opening: usize) -> Result<(), SyntaxError> {
        let Some(end) = self.rest()[opening..].find("#}") else {
            return self.error("a comment is not closed: `#}` is missing");
        };
        let signed = &self.rest()[opening..opening + end];
        let end = opening + end + 2;
        let closing =
            self.closing(end, if signed.ends_with(['-', '+']) { &signed[signed.len() - 1..] } else { "" });
        self.skip(closing);
        Ok(())
    }

    /// The length up to `end`, which is the end of a tag with the whitespace sign `sign`, and of the white
    /// space that is removed after it.
    fn closing(&self, end: usize, sign: &str) -> usize {
        let after = &self.rest()[end..];
        end + match sign {
            "-" => after.len() - after.trim_start_matches(spaces::is_space).len(),
            "+" => 0,
            _ => usize::from(after.starts_with('\n')),
        }
    }

    fn raw(&mut self, opening: usize) -> Result<(), SyntaxError> {
        self.skip(opening);
        let mut from = 0;
        while let Some(at) = self.rest()[from..].find("{%") {
            let at = from + at;
            let after = &self.rest()[at + 2..];
            let sign = sign(after);
            if let Some((length, end_sign)) = raw_closing(&after[sign.len()..]) {
                self.data(at, sign, true);
                let length = self.closing(2 + sign.len() + length, end_sign);
                self.skip(length);
                return Ok(());
            }
            from = at + 2;
        }
        self.error("a raw block is not closed: `{% endraw %}` is missing")
    }

    /// Reads a tag that is opened by `opening` bytes and closed by `end`.
    fn tag(&mut self, opening: usize, begin: TokenKind, end: &'static str) -> Result<(), SyntaxError> {
        let first = self.line;
        self.push(begin);
        self.skip(opening);
        self.open.clear();
        loop {
            let rest = self.rest();
            if self.open.is_empty() {
                let sign = if end == "%}" { sign(rest) } else { &rest[..usize::from(rest.starts_with('-'))] };
                if rest[sign.len()..].starts_with(end) {
                    let length = match (end, sign) {
                        ("}}", "") => 2,
                        _ => self.closing(sign.len() + 2, sign),
                    };
                    self.push(if end == "%}" { TokenKind::TagEnd } else { TokenKind::PrintEnd });
                    self.skip(length);
                    return Ok(());
                }
            }
            let Some(c) = rest.chars().next() else {
                let what = format!("unexpected end of template: `{end}` is missing");
                return Err(SyntaxError::new(first, what));
            };
            if spaces::is_space(c) {
                self.skip(c.len_utf8());
            } else if c.is_ascii_digit() {
                self.number();
            } else if c == '_' || c.is_alphanumeric() {
                self.name()?;
            } else if c == '\'' || c == '"' {
                self.string()?;
            } else {
                self.operator()?;
            }
        }
    }

    fn number(&mut self) {
        let rest = self.rest();
        let follows_dot = self.source[..self.at].ends_with('.');
        if let Some(length) = literals::float_length(rest).filter(|_| !follows_dot) {
            // Digits with a fraction or an exponent are always a float.
            let number = rest[..length].replace('_', "").parse().unwrap_or(f64::NAN);
            self.push(TokenKind::Float(number));
            return self.skip(length);
        }
        let (digits, length) = literals::integer(rest);
        self.push(TokenKind::Integer(digits));
        self.skip(length);
    }

    fn name(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let name = &rest[..rest.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(rest.len())];
        if !name.is_ascii() {
            return self.error(format!("the name `{name}` has letters that are not ASCII; rename it"));
        }
        self.push(TokenKind::Name(name.to_owned()));
        self.skip(name.len());
        Ok(())
    }

    fn string(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let quote = rest.as_bytes()[0];
        let mut end = 1;
        loop {
            match rest.as_bytes().get(end) {
                None => return self.error("a string is not closed"),
                Some(b'\\') => end += 1 + rest[end + 1..].chars().next().map_or(0, char::len_utf8),
                Some(&byte) if byte == quote => break,
                Some(_) => end += 1,
            }
        }
        match escapes::unescape(&rest[1..end]) {
            Ok(text) => self.push(TokenKind::Text(text)),
            Err(what) => return self.error(what),
        }
        self.skip(end + 1);
        Ok(())
    }

    fn operator(&mut self) -> Result<(), SyntaxError> {
        let rest = self.rest();
        let Some(operator) = OPERATORS.into_iter().find(|operator| rest.starts_with(operator)) else {
            let c = rest.chars().next().unwrap_or_default();
            return self.error(format!("unexpected character `{c}`"));
        };
        match operator {
            "(" => self.open.push(')'),
            "[" => self.open.push(']'),
            "{" => self.open.push('}'),
            ")" | "]" | "}" => match self.open.pop() {
                Some(expected) if operator.starts_with(expected) => {}
                Some(expected) => {
                    return self.error(format!("unexpected `{operator}`, expected `{expected}`"));
                }
                None => return self.error(format!("unexpected `{operator}`")),
            },
            _ => {}
        }
        self.push(TokenKind::Operator(operator));
        self.skip(operator.len());
        Ok(())
    }
}

/// Where the next tag begins, and the second character of what opens it.
fn next_opener(text: &str) -> Option<(usize, char)> {
    text.match_indices('{').find_map(|(at, _)| {
        let second = text[at + 1..].chars().next()?;
        matches!(second, '{' | '%' | '#').then_some((at, second))
    })
}

/// The whitespace sign (`-` or `+`) at the beginning of `text`, if there is one.
fn sign(text: &str) -> &str {
    &text[..usize::from(text.starts_with(['-', '+']))]
}

fn skip_spaces(text: &str) -> &str {
    text.trim_start_matches(spaces::is_space)
}

/// The length of ` raw %}` at the beginning of `text`, with the white space that its sign removes.
fn raw_opening(text: &str) -> Option<usize> {
    let after = skip_spaces(skip_spaces(text).strip_prefix("raw")?);
    let rest = match after.strip_prefix("-%}") {
        Some(rest) => skip_spaces(rest),
        None => after.strip_prefix("%}")?,
    };
    Some(text.len() - rest.len())
}

/// The length of ` endraw %}` at the beginning of `text`, and its whitespace sign.
fn raw_closing(text: &str) -> Option<(usize, &str)> {
    let after = skip_spaces(skip_spaces(text).strip_prefix("endraw")?);
    let sign = sign(after);
    let rest = after[sign.len()..].strip_prefix("%}")?;
    Some((text.len() - rest.len(), sign))
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    fn data(source: &str) -> String {
        let texts = tokens(source).unwrap().into_iter().filter_map(|token| match token.kind {
            TokenKind::Data(text) => Some(text),
            TokenKind::Name(name) => Some(format!("<{name}>")),
            _ => None,
        });
        texts.collect()
    }

    /// What Jinja2 3.1.6 gives with `trim_blocks` and `lstrip_blocks`.
    #[test]
    fn whitespace_goes_as_in_jinja2() {
        assert_eq!(data("a \n  {% x %}  \n b"), "a \n<x>  \n b");
        assert_eq!(data("a \n  {%- x -%}  \n b"), "a<x>b");
        assert_eq!(data("a \n  {%+ x +%}\n b\n\n"), "a \n  <x>\n b\n");
        assert_eq!(data("  {{ x }}\n{# c #}\n {#- c -#} b"), "  <x>\nb");
        assert_eq!(data("{% raw %}\n {{ x }} {%- endraw %}\nb"), "\n {{ x }}b");
        assert_eq!(data("a {% x %}{% y %} \r\n {% z %}"), "a <x><y> \n<z>");
    }

    #[test]
    fn numbers_are_python_s() {
        let kinds = |text: &str| {
            let tokens = tokens(&format!("{{{{ {text} }}}}")).unwrap();
            tokens[1..tokens.len() - 2].iter().map(|token| token.kind.clone()).collect::<Vec<TokenKind>>()
        };
        assert_eq!(kinds("1_000"), [TokenKind::Integer("1000".into())]);
        assert_eq!(kinds("0x_ff"), kinds("0 x_ff"));
        assert_eq!(kinds("0xff"), [TokenKind::Integer("255".into())]);
        assert_eq!(kinds("1e3"), [TokenKind::Float(1000.0)]);
        assert_eq!(kinds("1.5"), [TokenKind::Float(1.5)]);
        assert_eq!(kinds("x.0.5").len(), 5);
    }

    #[test]
    fn errors_name_the_line() {
        let error = |source: &str| tokens(source).unwrap_err();
        assert_eq!(error("\n{{ 'a }}"), SyntaxError::new(2, "a string is not closed"));
        assert_eq!(error("\n\n{# x").line, 3);
        assert_eq!(error("{{ (1] }}").what, "unexpected `]`, expected `)`");
    }
}
