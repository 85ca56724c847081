//! Jinja2's grammar of expressions: its precedences, its tuples without parentheses.

use super::lexer::{Kind, SyntaxError, Token};
use super::syntax::{Arguments, Comparison, Expr, Node};

/// How deep expressions may be nested.
const DEEPEST: usize = 60;

/// Where a tuple without parentheses ends, besides a closing bracket or the tag's end.
pub type Ends<'a> = &'a [&'a str];

pub struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
}

type Parsed = Result<Expr, SyntaxError>;

impl Parser {
    /// Of tokens whose last is [`Kind::End`].
    pub fn new(tokens: Vec<Token>) -> Self {
        Parser { tokens, at: 0, depth: 0 }
    }

    pub fn line(&self) -> usize {
        self.tokens[self.at].line
    }

    pub fn kind(&self) -> &Kind {
        &self.tokens[self.at].kind
    }

    fn second(&self) -> &Kind {
        &self.tokens[(self.at + 1).min(self.tokens.len() - 1)].kind
    }

    /// The token at hand; the next one takes its place.
    pub fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub fn error<T>(&self, what: impl Into<String>) -> Result<T, SyntaxError> {
        Err(SyntaxError::new(self.line(), what))
    }

    fn unexpected<T>(&self, expected: &str) -> Result<T, SyntaxError> {
        self.error(format!("unexpected {}, expected {expected}", described(self.kind())))
    }

    fn is(&self, operator: &str) -> bool {
        matches!(self.kind(), Kind::Operator(found) if *found == operator)
    }

    pub fn is_name(&self, name: &str) -> bool {
        matches!(self.kind(), Kind::Name(found) if found == name)
    }

    /// Whether `operator` is at hand; then it is read.
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
            Kind::Name(name) => {
                self.next();
                Ok(name)
            }
            _ => self.unexpected(what),
        }
    }

    pub fn expect_end(&mut self, end: &Kind) -> Result<(), SyntaxError> {
        if self.kind() == end {
            self.next();
            return Ok(());
        }
        self.unexpected(&described(end))
    }

    /// One expression, or several with commas between them: a tuple.
    pub fn tuple(&mut self, conditionals: bool, ends: Ends) -> Parsed {
        self.tuple_or_one(conditionals, ends, false)
    }

    fn tuple_or_one(&mut self, conditionals: bool, ends: Ends, in_parentheses: bool) -> Parsed {
        let line = self.line();
        let mut items = Vec::new();
        let mut is_tuple = false;
        loop {
            let at_end = matches!(self.kind(), Kind::TagEnd | Kind::PrintEnd)
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
        Ok(Expr { line, node: Node::Tuple(items) })
    }

    pub fn expression(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("the expression is nested too deeply");
        }
        let expression = self.conditional();
        self.depth -= 1;
        expression
    }

    fn conditional(&mut self) -> Parsed {
        let line = self.line();
        let mut yes = self.or()?;
        while self.skip_name("if") {
            let test = Box::new(self.or()?);
            let no = if self.skip_name("else") { Some(Box::new(self.expression()?)) } else { None };
            yes = Expr { line, node: Node::Conditional { test, yes: Box::new(yes), no } };
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
        // Two negations make a boolean, as one does; more add nothing.
        for _ in 0..if negations > 2 { 2 - negations % 2 } else { negations } {
            expression = Expr { line, node: Node::Not(Box::new(expression)) };
        }
        Ok(expression)
    }

    fn comparison(&mut self) -> Parsed {
        let line = self.line();
        let first = self.sum()?;
        let mut rest = Vec::new();
        loop {
            let comparison = match self.kind() {
                Kind::Operator("==") => Comparison::By("__eq__"),
                Kind::Operator("!=") => Comparison::By("__ne__"),
                Kind::Operator("<") => Comparison::By("__lt__"),
                Kind::Operator("<=") => Comparison::By("__le__"),
                Kind::Operator(">") => Comparison::By("__gt__"),
                Kind::Operator(">=") => Comparison::By("__ge__"),
                Kind::Name(name) if name == "in" => Comparison::By("__in__"),
                Kind::Name(name) if name == "not" && is_named(self.second(), "in") => {
                    self.next();
                    Comparison::NotIn
                }
                _ => break,
            };
            self.next();
            rest.push((comparison, self.sum()?));
        }
        if rest.is_empty() {
            return Ok(first);
        }
        Ok(Expr { line, node: Node::Compare(Box::new(first), rest) })
    }

    /// Operations of one precedence, from the left.
    fn binary(&mut self, filters: &[(&str, &'static str)], operand: fn(&mut Self) -> Parsed) -> Parsed {
        let line = self.line();
        let mut left = operand(self)?;
        while let Some((operator, filter)) = filters.iter().find(|(operator, _)| self.is(operator)) {
            self.expect(operator)?;
            let right = operand(self)?;
            left = Expr { line, node: Node::Binary(filter, Box::new(left), Box::new(right)) };
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
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("the expression is nested too deeply");
        }
        let line = self.line();
        let sign = if self.skip("-") {
            Some("__neg__")
        } else if self.skip("+") {
            Some("__pos__")
        } else {
            None
        };
        let mut expression = match sign {
            Some(filter) => Expr { line, node: Node::Unary(filter, Box::new(self.unary(false)?)) },
            None => self.primary()?,
        };
        expression = self.postfix(expression)?;
        if filters {
            expression = self.filtered(expression)?;
        }
        self.depth -= 1;
        Ok(expression)
    }

    fn primary(&mut self) -> Parsed {
        let Token { kind, line } = self.tokens[self.at].clone();
        let node = match kind {
            Kind::Name(name) => {
                self.next();
                match name.as_str() {
                    "true" | "True" => Node::Bool(true),
                    "false" | "False" => Node::Bool(false),
                    "none" | "None" => Node::None,
                    _ => Node::Name(name),
                }
            }
            Kind::Text(mut text) => {
                self.next();
                while let Kind::Text(more) = self.kind() {
                    text.push_str(more);
                    self.next();
                }
                Node::Text(text)
            }
            Kind::Integer(digits) => {
                self.next();
                Node::Integer(digits)
            }
            Kind::Float(number) => {
                self.next();
                Node::Float(number)
            }
            Kind::Operator("(") => {
                self.next();
                let inside = self.tuple_or_one(true, &[], true)?;
                self.expect(")")?;
                return Ok(inside);
            }
            Kind::Operator("[") => {
                self.next();
                Node::List(self.items("]", Self::expression)?)
            }
            Kind::Operator("{") => {
                self.next();
                Node::Dict(self.items("}", |parser| {
                    let key = parser.expression()?;
                    parser.expect(":")?;
                    Ok((key, parser.expression()?))
                })?)
            }
            _ => return self.unexpected("an expression"),
        };
        Ok(Expr { line, node })
    }

    /// What stands between brackets, with commas between; one may follow the last.
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

    /// Attributes, subscripts and calls.
    fn postfix(&mut self, mut expression: Expr) -> Parsed {
        loop {
            let line = self.line();
            let inner = Box::new(expression);
            let node = if self.skip(".") {
                match self.next().kind {
                    Kind::Name(name) => Node::Attribute(inner, name),
                    Kind::Integer(digits) => {
                        Node::Item(inner, Box::new(Expr { line, node: Node::Integer(digits) }))
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
            expression = Expr { line, node };
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
        Ok(Node::Item(inner, Box::new(Expr { line, node: Node::Tuple(keys) })))
    }

    /// What is assigned to: names, one or several with commas; `object.name` for a namespace.
    pub fn target(&mut self, ends: Ends) -> Parsed {
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
                let name = Expr { line, node: name };
                if self.skip(".") {
                    let attribute = self.expect_name("a name")?;
                    Expr { line, node: Node::Attribute(Box::new(name), attribute) }
                } else {
                    name
                }
            };
            let more = self.skip(",");
            let at_end = *self.kind() == Kind::TagEnd
                || self.is("=")
                || self.is(")")
                || self.is("]")
                || ends.iter().any(|end| self.is_name(end));
            if items.is_empty() && !more {
                return Ok(target);
            }
            items.push(target);
            if !more || at_end {
                return Ok(Expr { line, node: Node::Tuple(items) });
            }
        }
    }

    fn nested_target(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEEPEST {
            return self.error("the expression is nested too deeply");
        }
        let target = self.target(&[]);
        self.depth -= 1;
        target
    }

    fn filtered(&mut self, mut expression: Expr) -> Parsed {
        loop {
            let line = self.line();
            if self.is("|") {
                expression = self.filters(Some(expression))?;
            } else if self.skip_name("is") {
                expression = self.test(line, expression)?;
            } else if self.is("(") {
                let node = Node::Call(Box::new(expression), self.arguments()?);
                expression = Expr { line, node };
            } else {
                return Ok(expression);
            }
        }
    }

    /// `|filter|…`, as many as stand here.
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
        let arguments = if self.is("(") { self.arguments()? } else { Arguments::default() };
        Ok(Expr { line, node: Node::Filter(expression.map(Box::new), name, arguments) })
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
            Kind::Name(name) => !matches!(name.as_str(), "else" | "or" | "and"),
            Kind::Text(_) | Kind::Integer(_) | Kind::Float(_) | Kind::Operator("[" | "{") => true,
            _ => false,
        };
        let arguments = if self.is("(") {
            self.arguments()?
        } else if takes_one {
            if self.is_name("is") {
                return self.error("tests with `is` cannot be chained");
            }
            let argument = self.primary()?;
            Arguments { positional: vec![self.postfix(argument)?], ..Arguments::default() }
        } else {
            Arguments::default()
        };
        let node = Node::Test(Box::new(expression), name, arguments);
        let test = Expr { line, node };
        Ok(if negated { Expr { line, node: Node::Not(Box::new(test)) } } else { test })
    }

    pub fn arguments(&mut self) -> Result<Arguments, SyntaxError> {
        self.expect("(")?;
        let mut arguments = Arguments::default();
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
            } else if matches!(self.kind(), Kind::Name(_)) && *self.second() == Kind::Operator("=") {
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

fn one_or(line: usize, mut parts: Vec<Expr>, node: fn(Vec<Expr>) -> Node) -> Expr {
    match parts.pop() {
        Some(one) if parts.is_empty() => one,
        last => {
            parts.extend(last);
            Expr { line, node: node(parts) }
        }
    }
}

fn is_named(kind: &Kind, name: &str) -> bool {
    matches!(kind, Kind::Name(found) if found == name)
}

/// A token in words.
fn described(kind: &Kind) -> String {
    match kind {
        Kind::Data(_) => "text".into(),
        Kind::PrintBegin => "`{{`".into(),
        Kind::PrintEnd => "`}}`".into(),
        Kind::TagBegin => "`{%`".into(),
        Kind::TagEnd => "`%}`".into(),
        Kind::Name(name) => format!("`{name}`"),
        Kind::Text(_) => "a string".into(),
        Kind::Integer(digits) => format!("`{digits}`"),
        Kind::Float(number) => format!("`{number}`"),
        Kind::Operator(operator) => format!("`{operator}`"),
        Kind::End => "end of the template".into(),
    }
}
