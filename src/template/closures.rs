//! Statements whose bodies are closures: macros, and blocks that are called with a body.

use std::collections::BTreeSet;

use super::macros;
use super::rewrite::{CLOSURES, Done, Enclosing, Rewriter};
use super::syntax::{Expr, Node};
use super::token::{SyntaxError, TokenKind};

impl Rewriter {
    /// Arguments in parentheses: names and defaults.
    fn signature(&mut self) -> Result<Vec<(String, Option<Expr>)>, SyntaxError> {
        self.parser.expect("(")?;
        let mut arguments: Vec<(String, Option<Expr>)> = Vec::new();
        while !self.parser.skip(")") {
            if !arguments.is_empty() {
                self.parser.expect(",")?;
            }
            let name = self.parser.expect_name("the name of an argument")?;
            let default = if self.parser.skip("=") { Some(self.parser.expression()?) } else { None };
            if default.is_none() && arguments.last().is_some_and(|(_, default)| default.is_some()) {
                return self.parser.error("an argument without a default follows one with a default");
            }
            arguments.push((name, default));
        }
        Ok(arguments)
    }

    pub(super) fn define_macro(&mut self, line: usize) -> Done {
        let name = self.parser.expect_name("the name of a macro")?;
        self.assigned.push(name.clone());
        let arguments = self.signature()?;
        let names: Vec<&str> = arguments.iter().map(|(name, _)| name.as_str()).collect();
        self.open(line, &format!("macro {name}({}", names.join(", ")));
        let (at, read) = (self.writer.out.len(), self.writer.read.len());
        self.writer.push(")");
        self.closure(&arguments, &["endmacro"])?;
        self.close("endmacro");
        let reads =
            |name: &str| !names.contains(&name) && self.writer.read[read..].iter().any(|read| read == name);
        let variadic = reads("varargs") || reads("kwargs");
        if variadic {
            let more = if names.is_empty() { "varargs, kwargs" } else { ", varargs, kwargs" };
            self.writer.out.insert_str(at, more);
        }
        let defaults = arguments.iter().any(|(_, default)| default.is_some());
        if variadic || defaults {
            let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
            let (wrapper, names) = (macros::FUNCTION, names.join(", "));
            self.close(&format!("set {name} = {wrapper}({name}, [{names}], {defaults}, {variadic})"));
        }
        self.end_of_tag()
    }

    /// Reads the end of a tag that opens a closure, and the closure's body. Before the body it writes what
    /// sets arguments that are not given to their defaults.
    pub(super) fn closure(&mut self, arguments: &[(String, Option<Expr>)], ends: &[&str]) -> Done {
        self.closures += 1;
        if self.closures > CLOSURES {
            return self.parser.error(format!("it has more than {CLOSURES} macros and call blocks"));
        }
        self.writer.push(" %}");
        let (at, read) = (self.writer.out.len(), self.writer.read.len());
        let defaults = arguments.iter().any(|(_, default)| default.is_some());
        for (name, default) in arguments.iter().filter(|_| defaults) {
            self.close(&format!("if {name} is {}", macros::MISSING));
            self.writer.push(&format!("{{% set {name} = "));
            match default {
                Some(default) => self.writer.expression(default),
                None => self.writer.push("__undefined__"),
            }
            self.writer.push(" %}");
            self.close("endif");
        }
        self.inside(Enclosing::Closure, ends)?;
        let names: BTreeSet<&String> = self.writer.read[read..].iter().collect();
        if !names.is_empty() {
            let prints: String = names.iter().map(|name| format!("{{{{ {name} }}}}")).collect();
            self.writer.out.insert_str(at, &format!("{{% if false %}}{prints}{{% endif %}}"));
        }
        Ok(())
    }

    pub(super) fn call(&mut self, line: usize) -> Done {
        let arguments =
            if *self.parser.kind() == TokenKind::Operator("(") { self.signature()? } else { Vec::new() };
        let names: Vec<&str> = arguments.iter().map(|(name, _)| name.as_str()).collect();
        self.open(
            line,
            &if names.is_empty() { "call".into() } else { format!("call({})", names.join(", ")) },
        );
        let called = self.parser.expression()?;
        let Node::Call(callee, given) = &called.node else {
            return Err(SyntaxError::new(line, "a call block needs a call"));
        };
        if matches!(&callee.node, Node::Attribute(_, name) if name == "changed") {
            return Err(SyntaxError::new(line, "a call block cannot call `changed`"));
        }
        self.writer.push(" ");
        self.writer.plain_call(callee, given);
        self.closure(&arguments, &["endcall"])?;
        self.close("endcall");
        self.end_of_tag()
    }
}
