//! Escapes in string literals: Python's (`unicode-escape`) when read, minijinja's when written.

/// The text of a literal. Errors if an escape is cut off.
pub fn unescape(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find('\\') {
        out.push_str(&rest[..start]);
        rest = &rest[start + 1..];
        let Some(c) = rest.chars().next() else { break };
        let simple = match c {
            '\n' => Some(""),
            '\\' => Some("\\"),
            '\'' => Some("'"),
            '"' => Some("\""),
            'a' => Some("\u{7}"),
            'b' => Some("\u{8}"),
            'f' => Some("\u{c}"),
            'n' => Some("\n"),
            'r' => Some("\r"),
            't' => Some("\t"),
            'v' => Some("\u{b}"),
            _ => None,
        };
        let digits = match c {
            '0'..='7' => 0,
            'x' => 2,
            'u' => 4,
            'U' => 8,
            _ if simple.is_some() => {
                out.push_str(simple.unwrap_or_default());
                rest = &rest[1..];
                continue;
            }
            'N' => return Err("names of characters (`\\N{…}`) are not supported; use `\\u`".into()),
            // An escape that Python does not know stays as it is.
            _ => {
                out.push('\\');
                continue;
            }
        };
        let (skip, radix, most) = if digits == 0 { (0, 8, 3) } else { (1, 16, digits) };
        let count = rest[skip..].chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let code = &rest[skip..skip + count];
        if digits > 0 && count < digits {
            return Err(format!("a string ends within the escape `\\{c}{code}`"));
        }
        let decoded = u32::from_str_radix(code, radix).ok().and_then(char::from_u32);
        match decoded {
            Some(decoded) => out.push(decoded),
            None => return Err(format!("the escape `\\{c}{code}` is no character")),
        }
        rest = &rest[skip + count..];
    }
    out.push_str(rest);
    Ok(out)
}

/// A literal that minijinja reads as `text`, on one line.
pub fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    /// Expected values: string literals of CPython 3.12.
    #[test]
    fn escapes_are_python_s() {
        assert_eq!(unescape(r#"a\'\"\x41\d\n\101\u00e9\0"#).unwrap(), "a'\"A\\d\nA\u{e9}\0");
        assert!(unescape(r"\x4").is_err());
        assert!(unescape(r"\ud800").is_err());
        assert_eq!(literal("a\"\\\n"), r#""a\"\\\n""#);
    }
}
