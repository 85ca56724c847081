//! The tokens of a template's source, and the error of a source that cannot be read.

/// What cannot be read, and in which line (counted from 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    pub what: String,
    pub line: usize,
}

impl SyntaxError {
    pub fn new(line: usize, what: impl Into<String>) -> Self {
        SyntaxError { what: what.into(), line }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum TokenKind {
    /// Text between tags.
    Data(String),
    /// `{{` and `}}`.
    PrintBegin,
    PrintEnd,
    /// `{%` and `%}`.
    TagBegin,
    TagEnd,
    Name(String),
    /// A string literal, unescaped.
    Text(String),
    /// Decimal digits.
    Integer(String),
    Float(f64),
    Operator(&'static str),
    End,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub kind: TokenKind,
    pub line: usize,
}
