//! Statements that give values to names: `set` and `with`, and the targets of loops.

use super::namespace;
use super::rewrite::{Done, Enclosing, Rewriter};
use super::syntax::{Expr, Node};
use super::token::{SyntaxError, TokenKind};
use super::writer::Writer;

impl Rewriter {
    /// Reads what a value is assigned to: one name, or several names with commas and parentheses.
    pub(super) fn target(&mut self, ends: &[&str]) -> Result<String, SyntaxError> {
        let target = self.parser.target(ends)?;
        target_text(&target, &mut self.assigned)
    }

    pub(super) fn set(&mut self, line: usize) -> Done {
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
                    // A value that is assigned to several names may be anything that can be iterated over.
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

    pub(super) fn with(&mut self, line: usize) -> Done {
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
        // A value cannot read the names that the same tag binds before it, so all are bound at once.
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
}

/// A target as minijinja writes it. Its names are added to `names`.
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
