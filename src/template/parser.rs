//! Jinja2's grammar of expressions: its precedences, and its tuples without parentheses.

use super::syntax::{ComparisonOperator, Expr, Node};
use super::token::{SyntaxError, Token, TokenKind};

/// How deep expressions may be nested.
const DEEPEST: usize = 60;

/// How many expressions may be within one another, links of chains included: `1 + 1 + 1` has three.
const HIGHEST: usize = 300;

/// Names at which a tuple without parentheses ends, besides a closing bracket or the tag's end.
pub type EndKeywords<'a> = &'a [&'a str];

pub struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

pub type Parsed = Result<Expr, SyntaxError>;

impl Parser {
    /// A parser of tokens, the last of which is [`TokenKind::End`].
    pub fn new(tokens: Vec<Token>) -> Self {
        Parser { tokens, at: 0, depth: 0 }
    }

    /// The token that is read next.
    pub fn token(&self) -> &Token {
        &self.tokens[self.at]
    }

    pub fn line(&self) -> usize {
        self.token().line
    }

    pub fn kind(&self) -> &TokenKind {
        &self.token().kind
    }

    pub(super) fn second(&self) -> &TokenKind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    /// Takes the token at hand and moves on to the next one.
    pub fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub fn error<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(self.line(), what))
    }

    pub(super) fn unexpected<T>(&self, expected: &str) -> Result<T, SyntaxError> {
        self.error(format!("unexpected {}, expected {expected}", described(self.kind())))
    }

    pub(super) fn is(&self, operator: &str) -> bool {
        matches!(self.kind(), TokenKind::Operator(found) if *found == operator)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.kind(), TokenKind::Name(found) if found == name)
    }

    /// Reads `operator` if it comes next, and returns whether it did.
    pub fn skip(&mut self, operator: &str) -> bool {
        let found = self.is(operator);
        if found {
            self.next();
        }
        found
    }

    pub fn skip_name(&mut self, name: &str) -> bool {
        let found = self.is_name(name);
        if found {
            self.next();
        }
        found
    }

    pub fn expect(&mut self, operator: &str) -> Result<(), SyntaxError> {
        if self.skip(operator) { Ok(()) } else { self.unexpected(&format!("`{operator}`")) }
    }

    pub fn expect_name(&mut self, what: &str) -> Result<String, SyntaxError> {
        match self.kind().clone() {
            TokenKind::Name(name) => {
                self.next();
                Ok(name)
            }
            _ => self.unexpected(what),
        }
    }

    pub fn expect_end(&mut self, end: &TokenKind) -> Result<(), SyntaxError> {
        if self.kind() == end {
            self.next();
            return Ok(());
        }
        self.unexpected(&described(end))
    }

    /// One expression, or several with commas between them: a tuple.
    pub fn tuple(&mut self, conditionals: bool, ends: EndKeywords) -> Parsed {
        self.tuple_or_one(conditionals, ends, false)
    }

    pub(super) fn tuple_or_one(
        &mut self,
        conditionals: bool,
        ends: EndKeywords,
        in_parentheses: bool,
    ) -> Parsed {
        let line = self.line();
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let at_end = matches!(self.kind(), TokenKind::TagEnd | TokenKind::PrintEnd)
                || self.is(")")
                || ends.iter().any(|end| self.is_name(end));
            if at_end {
                break;
            }
            items.push(if conditionals { self.expression()? } else { self.or()? });
            if !self.skip(",") {
                break;
            }
            is_tuple = true;
        }
        if !is_tuple {
            match items.pop() {
                Some(one) => return Ok(one),
                None if !in_parentheses => return self.unexpected("an expression"),
                None => {}
            }
        }
        Ok(Expr::new(line, Node::Tuple(items)))
    }

    pub fn expression(&mut self) -> Parsed {
        self.nested(Self::conditional)
    }

    /// Parses one level deeper. Errors if that is deeper than the stack can hold.
    pub(super) fn nested(&mut self, inner: impl FnOnce(&mut Self) -> Parsed) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("the expression is nested too deeply");
        }
        let expression = inner(self)?;
        self.depth -= 1;
        self.within(expression)
    }

    /// The expression, if it is not too high for what visits it.
    pub(super) fn within(&self, expression: Expr) -> Parsed {
        match expression.height > HIGHEST {
            true => self.error("the expression is a chain of too many parts; divide it by `{% set %}`"),
            false => Ok(expression),
        }
    }

    fn conditional(&mut self) -> Parsed {
        let line = self.line();
        let mut yes = self.or()?;
        while self.skip_name("if") {
            let test = Box::new(self.or()?);
            let no = if self.skip_name("else") { Some(Box::new(self.expression()?)) } else { None };
            yes = self.within(Expr::new(line, Node::Conditional { test, yes: Box::new(yes), no }))?;
        }
        Ok(yes)
    }

    fn or(&mut self) -> Parsed {
        let line = self.line();
        let mut parts = vec![self.and()?];
        while self.skip_name("or") {
            parts.push(self.and()?);
        }
        Ok(one_or(line, parts, Node::Or))
    }

    fn and(&mut self) -> Parsed {
        let line = self.line();
        let mut parts = vec![self.not()?];
        while self.skip_name("and") {
            parts.push(self.not()?);
        }
        Ok(one_or(line, parts, Node::And))
    }

    fn not(&mut self) -> Parsed {
        let line = self.line();
        let mut negations = 0;
        while self.skip_name("not") {
            negations += 1;
        }
        let mut expression = self.comparison()?;
        // Like one negation, two make a boolean; more of them add nothing.
        for _ in 0..if negations > 2 { 2 - negations % 2 } else { negations } {
            expression = Expr::new(line, Node::Not(Box::new(expression)));
        }
        Ok(expression)
    }

    fn comparison(&mut self) -> Parsed {
        let line = self.line();
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.kind() {
                TokenKind::Operator("==") => ComparisonOperator::By("__eq__"),
                TokenKind::Operator("!=") => ComparisonOperator::By("__ne__"),
                TokenKind::Operator("<") => ComparisonOperator::By("__lt__"),
                TokenKind::Operator("<=") => ComparisonOperator::By("__le__"),
                TokenKind::Operator(">") => ComparisonOperator::By("__gt__"),
                TokenKind::Operator(">=") => ComparisonOperator::By("__ge__"),
                TokenKind::Name(name) if name == "in" => ComparisonOperator::By("__in__"),
                TokenKind::Name(name) if name == "not" && is_named(self.second(), "in") => {
                    self.next();
                    ComparisonOperator::NotIn
                }
                _ => break,
            };
            self.next();
            rest.push((comparison, self.sum()?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        self.within(Expr::new(line, Node::Compare(Box::new(first), rest)))
    }

    /// Reads operations of one precedence, from left to right.
    fn binary(&mut self, filters: &[(&str, &'static str)], operand: fn(&mut Self) -> Parsed) -> Parsed {
        let line = self.line();
        let mut left = operand(self)?;
        while let Some((operator, filter)) = filters.iter().find(|(operator, _)| self.is(operator)) {
            self.expect(operator)?;
            let right = operand(self)?;
            left = self.within(Expr::new(line, Node::Binary(filter, Box::new(left), Box::new(right))))?;
        }
        Ok(left)
    }

    fn sum(&mut self) -> Parsed {
        self.binary(&[("+", "__add__"), ("-", "__sub__")], Self::concat)
    }

    fn concat(&mut self) -> Parsed {
        let line = self.line();
        let mut parts = vec![self.product()?];
        while self.skip("~") {
            parts.push(self.product()?);
        }
        Ok(one_or(line, parts, Node::Concat))
    }

    fn product(&mut self) -> Parsed {
        let operators = [("*", "__mul__"), ("/", "__truediv__"), ("//", "__floordiv__"), ("%", "__mod__")];
        self.binary(&operators, Self::power)
    }

    fn power(&mut self) -> Parsed {
        self.binary(&[("**", "__pow__")], |parser| parser.unary(true))
    }

    fn unary(&mut self, filters: bool) -> Parsed {
        self.nested(|parser| parser.signed(filters))
    }

    fn signed(&mut self, filters: bool) -> Parsed {
        let line = self.line();
        let sign = if self.skip("-") {
            Some("__neg__")
        } else if self.skip("+") {
            Some("__pos__")
        } else {
            None
        };
        let mut expression = match sign {
            Some(filter) => Expr::new(line, Node::Unary(filter, Box::new(self.unary(false)?))),
            None => self.primary()?,
        };
        expression = self.postfix(expression)?;
        if filters {
            expression = self.filtered(expression)?;
        }
        Ok(expression)
    }
}

fn one_or(line: usize, mut parts: Vec<Expr>, node: fn(Vec<Expr>) -> Node) -> Expr {
    match parts.pop() {
        Some(one) if parts.is_empty() => one,
        last => {
            parts.extend(last);
            Expr::new(line, node(parts))
        }
    }
}

fn is_named(kind: &TokenKind, name: &str) -> bool {
    matches!(kind, TokenKind::Name(found) if found == name)
}

/// Describes a token, for errors.
fn described(kind: &TokenKind) -> String {
    match kind {
        TokenKind::Data(_) => "text".into(),
        TokenKind::PrintBegin => "`{{`".into(),
        TokenKind::PrintEnd => "`}}`".into(),
        TokenKind::TagBegin => "`{%`".into(),
        TokenKind::TagEnd => "`%}`".into(),
        TokenKind::Name(name) => format!("`{name}`"),
        TokenKind::Text(_) => "a string".into(),
        TokenKind::Integer(digits) => format!("`{digits}`"),
        TokenKind::Float(number) => format!("`{number}`"),
        TokenKind::Operator(operator) => format!("`{operator}`"),
        TokenKind::End => "end of the template".into(),
    }
}
