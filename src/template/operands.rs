//! The parts of Jinja2's expressions between operators: literals, names, subscripts, calls, filters and
//! tests. Also the targets of assignments.

use super::parser::{EndKeywords, Parsed, Parser};
use super::syntax::{CallArguments, Expr, Node};
use super::token::{SyntaxError, Token, TokenKind};

impl Parser {
    pub(super) fn primary(&mut self) -> Parsed {
        let Token { kind, line } = self.token().clone();
        let node = match kind {
            TokenKind::Name(name) => {
                self.next();
                match name.as_str() {
                    "true" | "True" => Node::Bool(true),
                    "false" | "False" => Node::Bool(false),
                    "none" | "None" => Node::None,
                    _ => Node::Name(name),
                }
            }
            TokenKind::Text(mut text) => {
                self.next();
                while let TokenKind::Text(more) = self.kind() {
                    text.push_str(more);
                    self.next();
                }
                Node::Text(text)
            }
            TokenKind::Integer(digits) => {
                self.next();
                Node::Integer(digits)
            }
            TokenKind::Float(number) => {
                self.next();
                Node::Float(number)
            }
            TokenKind::Operator("(") => {
                self.next();
                let inside = self.tuple_or_one(true, &[], true)?;
                self.expect(")")?;
                return Ok(inside);
            }
            TokenKind::Operator("[") => {
                self.next();
                Node::List(self.items("]", Self::expression)?)
            }
            TokenKind::Operator("{") => {
                self.next();
                Node::Dict(self.items("}", |parser| {
                    let key = parser.expression()?;
                    parser.expect(":")?;
                    Ok((key, parser.expression()?))
                })?)
            }
            _ => return self.unexpected("an expression"),
        };
        Ok(Expr::new(line, node))
    }

    /// Reads expressions between brackets, separated by commas. A comma may follow the last one.
    fn items<T>(
        &mut self,
        close: &str,
        item: impl Fn(&mut Self) -> Result<T, SyntaxError>,
    ) -> Result<Vec<T>, SyntaxError> {
        let mut items = Vec::new();
        while !self.skip(close) {
            if !items.is_empty() {
                self.expect(",")?;
                if self.skip(close) {
                    break;
                }
            }
            items.push(item(self)?);
        }
        Ok(items)
    }

    /// Reads the attributes, subscripts and calls after an expression.
    pub(super) fn postfix(&mut self, mut expression: Expr) -> Parsed {
        loop {
            let line = self.line();
            let inner = Box::new(expression);
            let node = if self.skip(".") {
                match self.next().kind {
                    TokenKind::Name(name) => Node::Attribute(inner, name),
                    TokenKind::Integer(digits) => {
                        Node::Item(inner, Box::new(Expr::new(line, Node::Integer(digits))))
                    }
                    _ => return Err(SyntaxError::new(line, "a name or a number must follow `.`")),
                }
            } else if self.skip("[") {
                self.subscript(inner)?
            } else if self.is("(") {
                Node::Call(inner, self.arguments()?)
            } else {
                return Ok(*inner);
            };
            expression = self.within(Expr::new(line, node))?;
        }
    }

    fn subscript(&mut self, inner: Box<Expr>) -> Result<Node, SyntaxError> {
        let line = self.line();
        let mut bounds: [Option<Expr>; 3] = [None, None, None];
        let mut index = 0;
        while !self.is("]") && !self.is(",") {
            if self.skip(":") {
                index += 1;
                if index > 2 {
                    return self.error("a slice has at most three parts");
                }
            } else if bounds[index].is_some() {
                return self.unexpected("`]`");
            } else {
                bounds[index] = Some(self.expression()?);
            }
        }
        if index > 0 {
            self.expect("]")?;
            return Ok(Node::Slice(inner, Box::new(bounds)));
        }
        let [Some(first), ..] = bounds else { return self.unexpected("a subscript") };
        if self.skip("]") {
            return Ok(Node::Item(inner, Box::new(first)));
        }
        let mut keys = vec![first];
        while self.skip(",") {
            if self.is("]") {
                break;
            }
            keys.push(self.expression()?);
        }
        self.expect("]")?;
        Ok(Node::Item(inner, Box::new(Expr::new(line, Node::Tuple(keys)))))
    }

    /// Reads what a value is assigned to: one name, several with commas, or `object.name` for a namespace.
    pub fn target(&mut self, ends: EndKeywords) -> Parsed {
        let line = self.line();
        let mut items = Vec::new();
        loop {
            let target = if self.skip("(") || self.skip("[") {
                let inside = self.nested_target()?;
                if !self.skip(")") {
                    self.expect("]")?;
                }
                inside
            } else {
                let line = self.line();
                let name = Node::Name(self.expect_name("a name")?);
                let name = Expr::new(line, name);
                if self.skip(".") {
                    let attribute = self.expect_name("a name")?;
                    Expr::new(line, Node::Attribute(Box::new(name), attribute))
                } else {
                    name
                }
            };
            let more = self.skip(",");
            let at_end = *self.kind() == TokenKind::TagEnd
                || self.is("=")
                || self.is(")")
                || self.is("]")
                || ends.iter().any(|end| self.is_name(end));
            if items.is_empty() && !more {
                return Ok(target);
            }
            items.push(target);
            if !more || at_end {
                return Ok(Expr::new(line, Node::Tuple(items)));
            }
        }
    }

    fn nested_target(&mut self) -> Parsed {
        self.nested(|parser| parser.target(&[]))
    }

    pub(super) fn filtered(&mut self, mut expression: Expr) -> Parsed {
        loop {
            let line = self.line();
            if self.is("|") {
                expression = self.filters(Some(expression))?;
            } else if self.skip_name("is") {
                expression = self.test(line, expression)?;
            } else if self.is("(") {
                let node = Node::Call(Box::new(expression), self.arguments()?);
                expression = self.within(Expr::new(line, node))?;
            } else {
                return Ok(expression);
            }
        }
    }

    /// Reads as many filters (`|filter|…`) as there are here.
    fn filters(&mut self, expression: Option<Expr>) -> Parsed {
        self.expect("|")?;
        let mut expression = self.filter(expression)?;
        while self.skip("|") {
            expression = self.filter(Some(expression))?;
        }
        Ok(expression)
    }

    /// Filters of a block of text: `filter|…`, or `|filter|…` where `bar` is true; `None` if there is
    /// none.
    pub fn block_filters(&mut self, bar: bool) -> Result<Option<Expr>, SyntaxError> {
        if bar && !self.is("|") {
            return Ok(None);
        }
        if bar {
            return self.filters(None).map(Some);
        }
        let first = self.filter(None)?;
        if self.is("|") { self.filters(Some(first)).map(Some) } else { Ok(Some(first)) }
    }

    fn filter(&mut self, expression: Option<Expr>) -> Parsed {
        let line = self.line();
        let name = self.dotted("a filter's name")?;
        let arguments = if self.is("(") { self.arguments()? } else { CallArguments::default() };
        self.within(Expr::new(line, Node::Filter(expression.map(Box::new), name, arguments)))
    }

    fn dotted(&mut self, what: &str) -> Result<String, SyntaxError> {
        let mut name = self.expect_name(what)?;
        while self.skip(".") {
            name = format!("{name}.{}", self.expect_name(what)?);
        }
        Ok(name)
    }

    fn test(&mut self, line: usize, expression: Expr) -> Parsed {
        let negated = self.skip_name("not");
        let name = self.dotted("a test's name")?;
        let takes_one = match self.kind() {
            TokenKind::Name(name) => !matches!(name.as_str(), "else" | "or" | "and"),
            TokenKind::Text(_)
            | TokenKind::Integer(_)
            | TokenKind::Float(_)
            | TokenKind::Operator("[" | "{") => true,
            _ => false,
        };
        let arguments = if self.is("(") {
            self.arguments()?
        } else if takes_one {
            if self.is_name("is") {
                return self.error("tests with `is` cannot be chained");
            }
            let argument = self.primary()?;
            CallArguments { positional: vec![self.postfix(argument)?], ..CallArguments::default() }
        } else {
            CallArguments::default()
        };
        let node = Node::Test(Box::new(expression), name, arguments);
        let test = Expr::new(line, node);
        self.within(if negated { Expr::new(line, Node::Not(Box::new(test))) } else { test })
    }

    pub fn arguments(&mut self) -> Result<CallArguments, SyntaxError> {
        self.expect("(")?;
        let mut arguments = CallArguments::default();
        let mut first = true;
        while !self.skip(")") {
            if !first {
                self.expect(",")?;
                if self.skip(")") {
                    break;
                }
            }
            first = false;
            let none_by_star = arguments.items.is_none() && arguments.named_items.is_none();
            if self.skip("**") {
                if arguments.named_items.is_some() {
                    return self.error("`**` twice in a call");
                }
                arguments.named_items = Some(Box::new(self.expression()?));
            } else if self.skip("*") {
                if !none_by_star {
                    return self.error("`*` after `*` or `**` in a call");
                }
                arguments.items = Some(Box::new(self.expression()?));
            } else if matches!(self.kind(), TokenKind::Name(_)) && *self.second() == TokenKind::Operator("=")
            {
                if arguments.named_items.is_some() {
                    return self.error("an argument after `**` in a call");
                }
                let name = self.expect_name("a name")?;
                self.expect("=")?;
                let value = self.expression()?;
                arguments.named.push((name, value));
            } else {
                if !none_by_star || !arguments.named.is_empty() {
                    return self.error("an argument by position after one by name");
                }
                arguments.positional.push(self.expression()?);
            }
        }
        Ok(arguments)
    }
}
