//! Jinja2's expressions as a tree.

/// An expression and the line it begins on.
#[derive(Debug, Clone, PartialEq)]
pub struct Expr {
    pub line: usize,
    pub node: Node,
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
}
