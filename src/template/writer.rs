//! Writes Jinja2's expressions as minijinja's: what both evaluate in the same way stays as it is,
//! everything else becomes filters of our own (see [`operators`](super::operators) and
//! [`lookup`](super::lookup)).

use super::escapes::literal;
use super::method_names::is_method;
use super::syntax::{CallArguments, ComparisonOperator, Expr, Node};
use super::{filters, lookup};

/// The most bytes that are written.
pub const LONGEST: usize = 1 << 22;

/// The most bytes of text between tags that are written as they are where the text is captured. More are
/// written as an expression, since only what expressions write is counted there.
const UNCOUNTED: usize = 64;

/// The source for minijinja as it is written. No tag is on an earlier line than in the template.
#[derive(Debug, Default)]
pub struct Writer {
    pub out: String,
    line: usize,
    /// Variables that were read, in order.
    pub read: Vec<String>,
    /// How many tags that capture text are open.
    pub captures: usize,
    /// Where the text between tags that was written last ends, and how many bytes of it there are.
    uncounted: (usize, usize),
}

impl Writer {
    pub fn new() -> Self {
        Writer { line: 1, ..Writer::default() }
    }

    pub fn push(&mut self, text: &str) {
        self.line += text.matches('\n').count();
        self.out.push_str(text);
    }

    /// Within a tag, moves on to a line of the template.
    pub fn go_to(&mut self, line: usize) {
        while self.line < line {
            self.push("\n");
        }
    }

    /// Writes text between tags.
    pub fn data(&mut self, text: &str) {
        let unlike_a_tag = !["{{", "{%", "{#"].iter().any(|opener| text.contains(opener));
        let before = if self.uncounted.0 == self.out.len() { self.uncounted.1 } else { 0 };
        let counted = self.captures > 0 && before + text.len() > UNCOUNTED;
        if unlike_a_tag && !counted && !text.ends_with('{') && !self.out.ends_with('{') {
            self.push(text);
            self.uncounted = (self.out.len(), before + text.len());
        } else {
            self.push(&format!("{{{{ {} }}}}", literal(text)));
        }
    }

    /// Writes an expression as an operand of a filter or a test, or between commas.
    pub fn expression(&mut self, expression: &Expr) {
        // Operands of chained comparisons are written twice, so that a source can grow without end.
        if self.out.len() > LONGEST {
            return;
        }
        self.go_to(expression.line);
        match &expression.node {
            Node::Name(name) => {
                self.read.push(name.clone());
                self.push(name);
            }
            Node::None => self.push("none"),
            Node::Bool(true) => self.push("true"),
            Node::Bool(false) => self.push("false"),
            Node::Integer(digits) if digits.parse::<i128>().is_ok() => self.push(digits),
            Node::Integer(digits) => self.push(&format!("\"{digits}\"|{}", lookup::BIG_INTEGER)),
            Node::Float(number) if number.is_finite() => self.push(&plain_float(*number)),
            Node::Float(_) => self.push(&format!("\"inf\"|{}", filters::FLOAT)),
            Node::Text(text) => self.push(&literal(text)),
            Node::Tuple(items) => {
                self.push("(");
                self.all(items);
                self.push(if items.len() == 1 { ",)" } else { ")" });
                self.built(expression);
            }
            Node::List(items) => {
                self.push("[");
                self.all(items);
                self.push("]");
                self.built(expression);
            }
            Node::Dict(items) => {
                self.dict(items);
                self.built(expression);
            }
            Node::Conditional { test, yes, no } => {
                self.push("(");
                self.expression(yes);
                self.push(" if ");
                self.expression(test);
                if let Some(no) = no {
                    self.push(" else ");
                    self.expression(no);
                }
                self.push(")");
            }
            Node::Or(parts) => self.joined(parts, " or "),
            Node::And(parts) => self.joined(parts, " and "),
            Node::Not(inner) => {
                self.push("(not ");
                self.expression(inner);
                self.push(")");
            }
            Node::Compare(first, rest) => self.comparisons(first, rest),
            Node::Binary(filter, left, right) => {
                self.expression(left);
                self.push(&format!("|{filter}("));
                self.expression(right);
                self.push(")");
            }
            Node::Concat(parts) => {
                self.expression(&parts[0]);
                self.push("|__concat__(");
                self.all(&parts[1..]);
                self.push(")");
            }
            Node::Unary("__neg__", number) if matches!(number.node, Node::Integer(_)) => {
                self.push("(-");
                self.expression(number);
                self.push(")");
            }
            Node::Unary(filter, inner) => {
                self.expression(inner);
                self.push(&format!("|{filter}"));
            }
            Node::Attribute(object, name) => self.attribute(object, name),
            Node::Item(object, key) => self.item(object, key),
            Node::Slice(object, bounds) => {
                self.expression(object);
                self.push(&format!("|{}(", lookup::SLICE));
                for (index, bound) in bounds.iter().enumerate() {
                    self.push(if index > 0 { ", " } else { "" });
                    match bound {
                        Some(bound) => self.expression(bound),
                        None => self.push("none"),
                    }
                }
                self.push(")");
            }
            Node::Call(callee, arguments) => self.call(callee, arguments),
            Node::Filter(inner, name, arguments) => {
                if let Some(inner) = inner {
                    self.expression(inner);
                    self.push("|");
                }
                self.push(name);
                if !arguments.is_empty() {
                    self.arguments("", arguments);
                }
            }
            Node::Test(inner, name, arguments) => {
                self.push("(");
                self.expression(inner);
                self.push(&format!(" is {name}"));
                if !arguments.is_empty() {
                    self.arguments("", arguments);
                }
                self.push(")");
            }
        }
    }

    /// Writes an expression in such a way that a dot, a bracket or a parenthesis may follow.
    fn primary(&mut self, expression: &Expr) {
        use Node::*;
        match expression.node {
            Name(_) | Text(_) => self.expression(expression),
            Tuple(_) | List(_) | Dict(_) if is_constant(expression) => self.expression(expression),
            _ => {
                self.push("(");
                self.expression(expression);
                self.push(")");
            }
        }
    }

    /// Ends a list, tuple or dictionary: one that may hold others is counted when it is made.
    fn built(&mut self, expression: &Expr) {
        if !is_constant(expression) {
            self.push(&format!("|{}", lookup::BUILT));
        }
    }

    fn dict(&mut self, items: &[(Expr, Expr)]) {
        self.push("{");
        for (index, (key, value)) in items.iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            self.expression(key);
            if !matches!(key.node, Node::Text(_) | Node::Integer(_)) {
                self.push(&format!("|{}", lookup::KEY));
            }
            self.push(": ");
            self.expression(value);
        }
        self.push("}");
    }

    fn all(&mut self, items: &[Expr]) {
        for (index, item) in items.iter().enumerate() {
            self.push(if index > 0 { ", " } else { "" });
            self.expression(item);
        }
    }

    fn joined(&mut self, parts: &[Expr], operator: &str) {
        self.push("(");
        for (index, part) in parts.iter().enumerate() {
            self.push(if index > 0 { operator } else { "" });
            self.expression(part);
        }
        self.push(")");
    }

    /// `a < b < c` as `(a < b and b < c)`.
    fn comparisons(&mut self, first: &Expr, rest: &[(ComparisonOperator, Expr)]) {
        let chained = rest.len() > 1 || rest[0].0 == ComparisonOperator::NotIn;
        self.push(if chained { "(" } else { "" });
        let mut left = first;
        for (index, (comparison, right)) in rest.iter().enumerate() {
            self.push(if index > 0 { " and " } else { "" });
            let filter = match comparison {
                ComparisonOperator::By(filter) => filter,
                ComparisonOperator::NotIn => {
                    self.push("not ");
                    "__in__"
                }
            };
            self.expression(left);
            self.push(&format!("|{filter}("));
            self.expression(right);
            self.push(")");
            left = right;
        }
        self.push(if chained { ")" } else { "" });
    }

    fn attribute(&mut self, object: &Expr, name: &str) {
        if is_method(name) || name.starts_with("__") {
            self.expression(object);
            self.push(&format!("|{}({}", lookup::ATTRIBUTE, literal(name)));
            self.path_argument(object);
        } else {
            self.primary(object);
            self.push(&format!(".{name}"));
        }
    }

    fn item(&mut self, object: &Expr, key: &Expr) {
        if matches!(&key.node, Node::Text(name) if !is_method(name)) {
            self.primary(object);
            self.push("[");
            self.expression(key);
            self.push("]");
        } else {
            self.expression(object);
            self.push(&format!("|{}(", lookup::ITEM));
            self.expression(key);
            self.path_argument(object);
        }
    }

    /// The last argument of a lookup: how the template names the object, for the error if it is not
    /// defined.
    fn path_argument(&mut self, object: &Expr) {
        match path(object) {
            Some(path) => self.push(&format!(", \"{path}\")")),
            None => self.push(")"),
        }
    }

    fn call(&mut self, callee: &Expr, arguments: &CallArguments) {
        match &callee.node {
            // This is recursion: what is given to `loop` is iterated over in the same way as the loop's own
            // items.
            Node::Name(name) if name == "loop" && arguments.positional.len() == 1 => {
                self.read.push(name.clone());
                self.push("loop(");
                self.expression(&arguments.positional[0]);
                self.push(&format!("|{})", filters::ITERABLE));
            }
            Node::Attribute(object, name) if !is_template(object) => {
                self.expression(object);
                self.push(&format!("|{}", lookup::METHOD));
                self.arguments(&literal(name), arguments);
            }
            _ => self.plain_call(callee, arguments),
        }
    }

    /// Writes a call in minijinja's own way.
    pub fn plain_call(&mut self, callee: &Expr, arguments: &CallArguments) {
        match &callee.node {
            Node::Attribute(object, name) => {
                self.primary(object);
                self.push(&format!(".{name}"));
            }
            _ => self.primary(callee),
        }
        self.arguments("", arguments);
    }

    /// Writes arguments in parentheses, with `first` before the others.
    fn arguments(&mut self, first: &str, arguments: &CallArguments) {
        self.push("(");
        self.push(first);
        let mut any = !first.is_empty();
        let mut separate = |writer: &mut Self, sign: &str| {
            writer.push(if any { ", " } else { "" });
            writer.push(sign);
            any = true;
        };
        for argument in &arguments.positional {
            separate(self, "");
            self.expression(argument);
        }
        if let Some(items) = &arguments.items {
            separate(self, "*");
            self.expression(items);
        }
        for (name, argument) in &arguments.named {
            separate(self, &format!("{name}="));
            self.expression(argument);
        }
        if let Some(items) = &arguments.named_items {
            separate(self, "**");
            self.expression(items);
        }
        self.push(")");
    }
}

/// Whether an expression is made of literals only. All of it is then made when the template is compiled.
fn is_constant(expression: &Expr) -> bool {
    match &expression.node {
        Node::None | Node::Bool(_) | Node::Integer(_) | Node::Text(_) => true,
        Node::Float(number) => number.is_finite(),
        Node::Tuple(items) | Node::List(items) => items.iter().all(is_constant),
        Node::Dict(items) => items.iter().all(|(key, value)| is_constant(key) && is_constant(value)),
        _ => false,
    }
}

/// A float, written so that minijinja reads it as one.
fn plain_float(number: f64) -> String {
    let text = number.to_string();
    if text.contains('.') { text } else { text + ".0" }
}

/// A name with the attributes after it, such as `a.b.c`.
fn path(expression: &Expr) -> Option<String> {
    match &expression.node {
        Node::Name(name) => Some(name.clone()),
        Node::Attribute(object, name) => path(object).map(|path| format!("{path}.{name}")),
        _ => None,
    }
}

/// Whether an expression stands for the template itself, whose blocks are called as methods.
fn is_template(expression: &Expr) -> bool {
    matches!(&expression.node, Node::Name(name) if name == "self")
}
