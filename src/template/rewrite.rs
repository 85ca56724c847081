//! Rewrites a template from Jinja2's language to minijinja's.
//!
//! Both read nearly the same text, and where they do not, templates in the wild depend on Jinja2: on
//! its lexer's whitespace, on Python's operators, attributes and truth, on scopes that are Python's.
//! So the source is read as Jinja2 reads it ([`lexer`](super::lexer), [`parser`](super::parser)) and
//! written anew: expressions by [`writer`](super::writer), statements here. Lines stay those of the
//! template, for errors. What is written differently:
//!
//! - what a loop goes over passes a filter that knows what Python can iterate over;
//! - `{% generation %}` becomes a call block (see [`generation`](super::generation));
//! - `{% set object.name = … %}` becomes a function call, for namespaces of our own;
//! - bodies of `set`, `filter` and such have a scope of their own;
//! - bodies that are closures name the variables that they read first, so that all are captured;
//! - a macro with defaults, or one that reads `varargs` or `kwargs`, is wrapped (see
//!   [`macros`](super::macros)).

use std::collections::BTreeSet;

use super::lexer::{SyntaxError, TokenKind, tokens};
use super::parser::Parser;
use super::syntax::{Expr, Node};
use super::writer::Writer;
use super::{filters, generation, namespace};

/// The rewritten source, and whether it has generation blocks.
pub fn rewrite(source: &str) -> Result<(String, bool), SyntaxError> {
    let mut rewriter = Rewriter {
        parser: Parser::new(tokens(source)?),
        writer: Writer::new(),
        assigned: Vec::new(),
        enclosing: Vec::new(),
        closures: 0,
        blocks: 0,
        marks_generation: false,
    };
    rewriter.body(&[])?;
    Ok((rewriter.writer.out, rewriter.marks_generation))
}

/// How deep statements may be nested.
const DEEPEST: usize = 60;

/// What a statement stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enclosing {
    Loop,
    /// A branch: leaving a loop from within is as from the loop itself.
    Branch,
    /// A scope or a captured text.
    Scope,
    /// A macro, the body of a call: no loop around it can be left.
    Closure,
}

pub(super) struct Rewriter {
    pub(super) parser: Parser,
    pub(super) writer: Writer,
    /// Variables that were assigned, in order.
    pub(super) assigned: Vec<String>,
    enclosing: Vec<Enclosing>,
    /// Closures so far.
    pub(super) closures: usize,
    /// Captured texts so far.
    blocks: usize,
    marks_generation: bool,
}

pub(super) type Done = Result<(), SyntaxError>;

impl Rewriter {
    /// Text and tags up to a tag whose name is one of `ends`, which is read up to its name; without
    /// any, up to the end of the template.
    fn body(&mut self, ends: &[&str]) -> Result<String, SyntaxError> {
        let first = self.parser.line();
        loop {
            let token = self.parser.next();
            match token.kind {
                TokenKind::Data(text) => self.writer.data(&text),
                TokenKind::PrintBegin => {
                    let printed = self.parser.tuple(true, &[])?;
                    self.parser.expect_end(&TokenKind::PrintEnd)?;
                    self.print(&printed);
                }
                TokenKind::TagBegin => {
                    let line = self.parser.line();
                    let name = self.parser.expect_name("the name of a tag")?;
                    if ends.contains(&name.as_str()) {
                        return Ok(name);
                    }
                    self.statement(&name, line)?;
                }
                _ if ends.is_empty() => return Ok(String::new()),
                _ => {
                    let expected: Vec<String> = ends.iter().map(|end| format!("`{end}`")).collect();
                    let what = format!(
                        "unexpected end of the template, expected {} for the tag of line {first}",
                        expected.join(" or ")
                    );
                    return Err(SyntaxError::new(token.line, what));
                }
            }
        }
    }

    /// The body of a tag whose head has been read, up to one of `ends`.
    pub(super) fn inside(&mut self, what: Enclosing, ends: &[&str]) -> Result<String, SyntaxError> {
        self.parser.skip(":");
        self.parser.expect_end(&TokenKind::TagEnd)?;
        if self.enclosing.len() >= DEEPEST {
            return self.parser.error("the template's tags are nested too deeply");
        }
        self.enclosing.push(what);
        let end = self.body(ends)?;
        self.enclosing.pop();
        Ok(end)
    }

    pub(super) fn end_of_tag(&mut self) -> Done {
        self.parser.expect_end(&TokenKind::TagEnd)
    }

    fn print(&mut self, printed: &Expr) {
        self.writer.push("{{ ");
        self.writer.expression(printed);
        self.writer.push(" }}");
    }

    /// Opens a tag at a line of the template.
    pub(super) fn open(&mut self, line: usize, head: &str) {
        self.writer.push("{% ");
        self.writer.go_to(line);
        self.writer.push(head);
    }

    pub(super) fn close(&mut self, tag: &str) {
        self.writer.push(&format!("{{% {tag} %}}"));
    }

    fn statement(&mut self, name: &str, line: usize) -> Done {
        match name {
            "if" => self.conditional(line),
            "for" => self.for_loop(line),
            "set" => self.set(line),
            "macro" => self.define_macro(line),
            "call" => self.call(line),
            "filter" => self.filter(line),
            "with" => self.with(line),
            "print" => loop {
                let printed = self.parser.expression()?;
                self.print(&printed);
                if !self.parser.skip(",") {
                    return self.end_of_tag();
                }
            },
            "generation" => {
                self.marks_generation = true;
                self.open(line, &format!("call {}()", generation::FUNCTION));
                self.closure(&[], &["endgeneration"])?;
                self.close("endcall");
                self.end_of_tag()
            }
            "block" => self.block(line),
            "break" | "continue" => self.leave_loop(name, line),
            "include" | "import" | "from" | "extends" => {
                let what = format!("the tag `{name}` needs other templates; a chat template stands alone");
                Err(SyntaxError::new(line, what))
            }
            "autoescape" => self.autoescape(line),
            name => Err(SyntaxError::new(line, format!("unknown tag `{name}`"))),
        }
    }

    fn conditional(&mut self, line: usize) -> Done {
        let mut head = ("if", line);
        loop {
            let test = self.parser.tuple(false, &[])?;
            self.open(head.1, head.0);
            self.writer.push(" ");
            self.writer.expression(&test);
            self.writer.push(" %}");
            let end = self.inside(Enclosing::Branch, &["elif", "else", "endif"])?;
            match end.as_str() {
                "elif" => head = ("elif", self.parser.line()),
                "else" => {
                    self.close("else");
                    self.inside(Enclosing::Branch, &["endif"])?;
                    break;
                }
                _ => break,
            }
        }
        self.close("endif");
        self.end_of_tag()
    }

    fn for_loop(&mut self, line: usize) -> Done {
        let target = self.target(&["in"])?;
        if !self.parser.skip_name("in") {
            return self.parser.error("a loop needs `in` after its variables");
        }
        let items = self.parser.tuple(false, &["recursive", "if"])?;
        let test = if self.parser.skip_name("if") { Some(self.parser.expression()?) } else { None };
        let recursive = self.parser.skip_name("recursive");
        self.open(line, &format!("for {target} in "));
        self.writer.expression(&items);
        let several = target.contains(',');
        self.writer.push(&format!("|{}", if several { filters::UNPACKABLE } else { filters::ITERABLE }));
        if let Some(test) = test {
            self.writer.push(" if ");
            self.writer.expression(&test);
        }
        self.writer.push(if recursive { " recursive %}" } else { " %}" });

        let (start, closures, assigned) = (self.writer.out.len(), self.closures, self.assigned.len());
        let end = self.inside(Enclosing::Loop, &["endfor", "else"])?;
        if self.closures > closures {
            // A closure outlives an iteration: what one assigns must not be seen in the next.
            let names: BTreeSet<&String> = self.assigned[assigned..].iter().collect();
            let fresh: String = names.iter().map(|name| format!("{{% set {name} = {name} %}}")).collect();
            self.writer.out.insert_str(start, &fresh);
        }
        if end == "else" {
            self.close("else");
            self.inside(Enclosing::Branch, &["endfor"])?;
        }
        self.close("endfor");
        self.end_of_tag()
    }

    /// What is assigned to: a name, or several with commas and parentheses.
    fn target(&mut self, ends: &[&str]) -> Result<String, SyntaxError> {
        let target = self.parser.target(ends)?;
        target_text(&target, &mut self.assigned)
    }

    fn set(&mut self, line: usize) -> Done {
        let first = self.parser.target(&[])?;
        let attribute = match &first.node {
            Node::Attribute(object, name) => Some((object.clone(), name.clone())),
            _ => None,
        };
        let target = match &attribute {
            Some(_) => String::new(),
            None => target_text(&first, &mut self.assigned)?,
        };
        if self.parser.skip("=") {
            let value = self.parser.tuple(true, &[])?;
            match &attribute {
                Some((object, name)) => {
                    self.set_attribute(line, object, name, |writer| writer.expression(&value))
                }
                None => {
                    self.open(line, &format!("set {target} = "));
                    self.writer.expression(&value);
                    // Several names take what can be gone over.
                    self.writer.push(if target.contains(',') { "|list %}" } else { " %}" });
                }
            }
            return self.end_of_tag();
        }
        let filters = self.parser.block_filters(true)?;
        let text = self.captured(line, "endset")?;
        let value = |writer: &mut Writer| {
            writer.push(&text);
            if let Some(filters) = &filters {
                writer.push("|");
                writer.expression(filters);
            }
        };
        match &attribute {
            Some((object, name)) => self.set_attribute(line, object, name, value),
            None => {
                self.open(line, &format!("set {target} = "));
                value(&mut self.writer);
                self.writer.push(" %}");
            }
        }
        self.end_of_tag()
    }

    fn set_attribute(&mut self, line: usize, object: &Expr, name: &str, value: impl FnOnce(&mut Writer)) {
        self.open(line, &format!("do {}(", namespace::SET));
        self.writer.expression(object);
        self.writer.push(&format!(", \"{name}\", "));
        value(&mut self.writer);
        self.writer.push(") %}");
    }

    /// A body up to `end`, in a scope of its own: the variable that holds its text.
    fn captured(&mut self, line: usize, end: &str) -> Result<String, SyntaxError> {
        self.blocks += 1;
        let name = format!("__text_{}__", self.blocks);
        self.open(line, &format!("set {name} %}}"));
        self.close("with");
        self.inside(Enclosing::Scope, &[end])?;
        self.close("endwith");
        self.close("endset");
        Ok(name)
    }

    fn filter(&mut self, line: usize) -> Done {
        let Some(filters) = self.parser.block_filters(false)? else { return self.end_of_tag() };
        let text = self.captured(line, "endfilter")?;
        self.writer.push(&format!("{{{{ {text}|"));
        self.writer.expression(&filters);
        self.writer.push(" }}");
        self.end_of_tag()
    }

    fn with(&mut self, line: usize) -> Done {
        let mut bound: Vec<(String, Expr)> = Vec::new();
        while *self.parser.kind() != TokenKind::TagEnd {
            if !bound.is_empty() {
                self.parser.expect(",")?;
            }
            let target = self.target(&[])?;
            let target = if target.contains(',') { format!("({target})") } else { target };
            self.parser.expect("=")?;
            bound.push((target, self.parser.expression()?));
        }
        // Values know nothing of the names before them, so all are bound at once.
        self.open(line, "with");
        if !bound.is_empty() {
            let targets: Vec<&str> = bound.iter().map(|(target, _)| target.as_str()).collect();
            self.writer.push(&format!(" ({},) = (", targets.join(", ")));
            for (_, value) in &bound {
                self.writer.expression(value);
                self.writer.push(",");
            }
            self.writer.push(")");
        }
        self.writer.push(" %}");
        self.inside(Enclosing::Scope, &["endwith"])?;
        self.close("endwith");
        self.end_of_tag()
    }

    fn autoescape(&mut self, line: usize) -> Done {
        if self.parser.expression()?.node != Node::Bool(false) {
            let what = "`autoescape` is supported with `false` only: chat templates are not escaped";
            return Err(SyntaxError::new(line, what));
        }
        self.open(line, "with %}");
        self.inside(Enclosing::Scope, &["endautoescape"])?;
        self.close("endwith");
        self.end_of_tag()
    }

    fn block(&mut self, line: usize) -> Done {
        let name = self.parser.expect_name("the name of a block")?;
        self.parser.skip_name("scoped");
        self.parser.skip_name("required");
        self.open(line, &format!("block {name} %}}"));
        self.inside(Enclosing::Closure, &["endblock"])?;
        self.parser.skip_name(&name);
        self.close("endblock");
        self.end_of_tag()
    }

    fn leave_loop(&mut self, name: &str, line: usize) -> Done {
        let around = self.enclosing.iter().rev().find(|what| **what != Enclosing::Branch);
        match around {
            Some(Enclosing::Loop) => self.close(name),
            Some(Enclosing::Scope) => {
                let what = format!("`{name}` within `with`, `filter` or a `set` block is not supported");
                return Err(SyntaxError::new(line, what));
            }
            _ => return Err(SyntaxError::new(line, format!("`{name}` outside of a loop"))),
        }
        self.end_of_tag()
    }
}

/// A target as minijinja writes it; its names are noted.
fn target_text(target: &Expr, names: &mut Vec<String>) -> Result<String, SyntaxError> {
    match &target.node {
        Node::Name(name) => {
            names.push(name.clone());
            Ok(name.clone())
        }
        Node::Tuple(items) | Node::List(items) => {
            let items: Result<Vec<String>, SyntaxError> = items
                .iter()
                .map(|item| {
                    let text = target_text(item, names)?;
                    Ok(if matches!(item.node, Node::Name(_)) { text } else { format!("({text})") })
                })
                .collect();
            let items = items?;
            Ok(if items.len() == 1 { format!("{},", items[0]) } else { items.join(", ") })
        }
        _ => Err(SyntaxError::new(target.line, "only names can be assigned to")),
    }
}

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod unit_tests;
