//! Rewrites a template from Jinja2's language to minijinja's.
//!
//! Both read nearly the same text, and where they do not, existing templates depend on Jinja2: on how its
//! lexer treats white space, on Python's operators, attributes and truth values, and on Python's scopes. So
//! the source is read as Jinja2 reads it ([`lexer`](super::lexer), [`parser`](super::parser)) and written
//! out again: expressions by [`writer`](super::writer), statements here, in
//! [`assignments`](super::assignments) and in [`closures`](super::closures). Everything stays on the line
//! that it has in the template, so that errors name the right line. What is written differently:
//!
//! - what a loop iterates over is passed through a filter that knows what Python can iterate over;
//! - `{% generation %}` becomes a call block (see [`generation`](super::generation));
//! - `{% set object.name = … %}` becomes a function call, for namespaces of our own;
//! - bodies of `set`, `filter` and the like have a scope of their own;
//! - bodies that are closures name the variables that they read first, so that all are captured;
//! - a macro with defaults, or one that reads `varargs` or `kwargs`, is wrapped (see
//!   [`macros`](super::macros)).

use std::collections::BTreeSet;

use super::lexer::tokens;
use super::parser::Parser;
use super::syntax::{Expr, Node};
use super::token::{SyntaxError, TokenKind};
use super::writer::Writer;
use super::{filters, generation, writer};

/// The rewritten source, and whether it has generation blocks.
pub fn rewrite(source: &str) -> Result<(String, bool), SyntaxError> {
    if source.len() > LONGEST {
        return Err(SyntaxError::new(1, "it has more than 1 MiB"));
    }
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
    if rewriter.writer.out.len() > writer::LONGEST {
        let what = "its comparisons, loops or macros are nested too deeply";
        return Err(SyntaxError::new(rewriter.parser.line(), what));
    }
    Ok((rewriter.writer.out, rewriter.marks_generation))
}

/// The most bytes that a source may have.
const LONGEST: usize = 1 << 20;

/// How deep statements may be nested.
const DEEPEST: usize = 60;

/// How many branches one `if` may have: minijinja reads each of them within the one before it.
const BRANCHES: usize = 250;

/// How many macros and call blocks a template may have: each may hold all that are before it.
pub(super) const CLOSURES: usize = 2000;

/// What encloses a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Enclosing {
    Loop,
    /// A branch of a condition. `break` within it is as good as directly in the loop.
    Branch,
    /// A scope of its own, or a text that is captured.
    Scope,
    /// A macro or the body of a call block. No loop around it can be left from within.
    Closure,
}

pub(super) struct Rewriter {
    pub(super) parser: Parser,
    pub(super) writer: Writer,
    /// Variables that were assigned, in order.
    pub(super) assigned: Vec<String>,
    enclosing: Vec<Enclosing>,
    /// The number of closures so far.
    pub(super) closures: usize,
    /// The number of captured texts so far.
    blocks: usize,
    marks_generation: bool,
}

pub(super) type Done = Result<(), SyntaxError>;

impl Rewriter {
    /// Reads text and tags up to a tag whose name is one of `ends`; this tag is read up to its name.
    /// Without `ends`, reads up to the end of the template.
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

    /// Reads the body of a tag whose head has been read, up to one of `ends`.
    pub(super) fn inside(&mut self, what: Enclosing, ends: &[&str]) -> Result<String, SyntaxError> {
        self.parser.skip(":");
        self.parser.expect_end(&TokenKind::TagEnd)?;
        if self.enclosing.len() >= DEEPEST {
            return self.parser.error("the template's tags are nested too deeply");
        }
        let captures = what == Enclosing::Closure || what == Enclosing::Scope;
        self.enclosing.push(what);
        self.writer.captures += usize::from(captures);
        let end = self.body(ends)?;
        self.writer.captures -= usize::from(captures);
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

    /// Opens a tag that is on a line of the template.
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
        for branch in 0.. {
            if branch >= BRANCHES {
                return self.parser.error(format!("an `if` has more than {BRANCHES} branches"));
            }
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
            // A closure outlives an iteration: what one iteration assigns must not be visible in the next.
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

    /// Reads a body up to `end`, in a scope of its own. Returns the name of the variable that holds its
    /// text.
    pub(super) fn captured(&mut self, line: usize, end: &str) -> Result<String, SyntaxError> {
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

#[cfg(test)]
#[path = "rewrite_tests.rs"]
mod unit_tests;
