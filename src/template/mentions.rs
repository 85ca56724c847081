//! Which names the source of a template mentions.

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

/// Whether a template can read a variable, which is so if its name occurs anywhere outside of comments.
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
