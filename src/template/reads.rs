//! What a template reads, told by its source.

use super::{ChatTemplate, Kwargs, Rendering};

/// The keys of a turn that hold what its author thought, in the order in which transformers looks for
/// them.
pub const REASONING: [&str; 3] = ["reasoning_content", "thinking", "reasoning"];

impl ChatTemplate {
    /// Whether a template tells the time.
    pub fn tells_time(&self) -> bool {
        self.sources().any(|(_, source)| source.contains("strftime_now"))
    }

    /// Whether the template that renders `rendering` reads what a turn's author thought.
    pub fn reads_reasoning(&self, rendering: Rendering) -> bool {
        self.choose(rendering).is_ok_and(|(_, template)| !template.reasoning.is_empty())
    }

    /// Whether the template that renders `rendering` reads a key of a turn by its name.
    pub fn reads_key(&self, key: &str, rendering: Rendering) -> bool {
        self.choose(rendering).is_ok_and(|(_, template)| reads_key(&template.source, key))
    }

    /// Whether the template that renders `rendering` reads a variable.
    pub fn reads_variable(&self, name: &str, rendering: Rendering) -> bool {
        self.choose(rendering).is_ok_and(|(_, template)| names(&template.source, name))
    }

    /// The name of the template that renders `rendering`.
    pub fn name_of(&self, rendering: Rendering) -> Option<&str> {
        self.choose(rendering).ok().map(|(name, _)| name)
    }

    /// Those of some variables that no template reads.
    pub fn unread<'a>(&self, kwargs: &'a Kwargs) -> Vec<&'a str> {
        let is_read = |name: &str| self.sources().any(|(_, source)| names(source, name));
        kwargs.keys().map(String::as_str).filter(|name| !is_read(name)).collect()
    }
}

/// Whether a template names an attribute or key: `.key`, `'key'` or `"key"`, outside of comments.
pub fn reads_key(source: &str, key: &str) -> bool {
    let code = without_comments(source);
    code.match_indices(key).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + key.len()..].chars().next();
        match before {
            Some('.') => after.is_none_or(|c| !(c.is_alphanumeric() || c == '_')),
            Some(quote @ ('\'' | '"')) => after == Some(quote),
            _ => false,
        }
    })
}

/// Whether a template can read a variable: it names it, in whatever place.
pub fn names(source: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let code = without_comments(source);
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

fn without_comments(source: &str) -> String {
    let mut code = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(start) = rest.find("{#") {
        code.push_str(&rest[..start]);
        rest = rest[start..].find("#}").map_or("", |end| &rest[start + end + 2..]);
    }
    code + rest
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    #[test]
    fn keys_are_told_from_words() {
        let source =
            "{# .reasoning #}{{ m.thinking }}{{ m['reasoning_content'] }}Reasoning: {{ enable_thinking }}";
        assert!(reads_key(source, "thinking") && reads_key(source, "reasoning_content"));
        assert!(!reads_key(source, "reasoning") && !reads_key(source, "enable_thinking"));
        assert!(names(source, "enable_thinking") && !names(source, "enable"));
    }
}
