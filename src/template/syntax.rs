//! Jinja2's expressions as a tree.

/// An expression and the line it begins on.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub line: usize,
    pub node: Node,
    /// How many expressions are within one another here, as minijinja will read them: its `or`, `and` and
    /// chained comparisons hold one operand within another.
    pub height: usize,
}

impl Expr {
    pub fn new(line: usize, node: Node) -> Self {
        let height = node.height() + 1;
        Expr { line, node, height }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    Name(String),
    None,
    Bool(bool),
    /// Decimal digits.
    Integer(String),
    Float(f64),
    Text(String),
    Tuple(Vec<Expr>),
    List(Vec<Expr>),
    Dict(Vec<(Expr, Expr)>),
    /// `yes if test else no`.
    Conditional {
        test: Box<Expr>,
        yes: Box<Expr>,
        no: Option<Box<Expr>>,
    },
    Or(Vec<Expr>),
    And(Vec<Expr>),
    Not(Box<Expr>),
    /// A chain of comparisons. An operator is given by the name of its filter.
    Compare(Box<Expr>, Vec<(ComparisonOperator, Expr)>),
    /// An arithmetic operation, given by the name of its filter.
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Unary(&'static str, Box<Expr>),
    Attribute(Box<Expr>, String),
    Item(Box<Expr>, Box<Expr>),
    Slice(Box<Expr>, Box<[Option<Expr>; 3]>),
    Call(Box<Expr>, CallArguments),
    /// Without an expression (`None`) this is the filter of a block of text.
    Filter(Option<Box<Expr>>, String, CallArguments),
    Test(Box<Expr>, String, CallArguments),
}

impl Node {
    /// The height of the expressions within this one.
    fn height(&self) -> usize {
        let highest = |parts: &[Expr]| parts.iter().map(|part| part.height).max().unwrap_or(0);
        match self {
            Node::Name(_)
            | Node::None
            | Node::Bool(_)
            | Node::Integer(_)
            | Node::Float(_)
            | Node::Text(_) => 0,
            Node::Tuple(parts) | Node::List(parts) | Node::Concat(parts) => highest(parts),
            Node::Or(parts) | Node::And(parts) => highest(parts) + parts.len(),
            Node::Dict(entries) => {
                entries.iter().map(|(key, value)| key.height.max(value.height)).max().unwrap_or(0)
            }
            Node::Conditional { test, yes, no } => {
                test.height.max(yes.height).max(no.as_ref().map_or(0, |no| no.height))
            }
            Node::Not(inner) | Node::Unary(_, inner) | Node::Attribute(inner, _) => inner.height,
            Node::Compare(first, rest) => {
                rest.iter().map(|(_, part)| part.height).max().unwrap_or(0).max(first.height) + rest.len()
            }
            Node::Binary(_, left, right) | Node::Item(left, right) => left.height.max(right.height),
            Node::Slice(inner, bounds) => {
                bounds.iter().flatten().map(|bound| bound.height).max().unwrap_or(0).max(inner.height)
            }
            Node::Call(inner, arguments) | Node::Test(inner, _, arguments) => {
                inner.height.max(arguments.height())
            }
            Node::Filter(inner, _, arguments) => {
                inner.as_ref().map_or(0, |inner| inner.height).max(arguments.height())
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparisonOperator {
    By(&'static str),
    NotIn,
}

/// The arguments of a call, in Python's order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct CallArguments {
    pub positional: Vec<Expr>,
    pub named: Vec<(String, Expr)>,
    /// `*items` and `**items`.
    pub items: Option<Box<Expr>>,
    pub named_items: Option<Box<Expr>>,
}

impl CallArguments {
    pub fn is_empty(&self) -> bool {
        *self == CallArguments::default()
    }

    fn height(&self) -> usize {
        let named = self.named.iter().map(|(_, value)| value);
        let unpacked = self.items.iter().chain(&self.named_items).map(Box::as_ref);
        self.positional.iter().chain(named).chain(unpacked).map(|value| value.height).max().unwrap_or(0)
    }
}
