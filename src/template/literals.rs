//! Numbers as Jinja2's lexer reads them.

/// Length of a run of digits with single underscores between them.
fn digits(text: &str, radix: u32) -> usize {
    let mut length = 0;
    let mut after_digit = false;
    for c in text.chars() {
        match c {
            c if c.is_digit(radix) => after_digit = true,
            '_' if after_digit => after_digit = false,
            _ => break,
        }
        length += 1;
    }
    length - usize::from(length > 0 && !after_digit)
}

/// Length of a float at the beginning of `text`: one that has a fraction or an exponent.
pub fn float_length(text: &str) -> Option<usize> {
    let whole = digits(text, 10);
    let fraction = match text[whole..].strip_prefix('.').map_or(0, |after| digits(after, 10)) {
        0 => 0,
        count => count + 1,
    };
    let after = &text[whole + fraction..];
    let exponent = after.strip_prefix(['e', 'E']).map_or(0, |after| {
        let sign = usize::from(after.starts_with(['-', '+']));
        match digits(&after[sign..], 10) {
            0 => 0,
            count => 1 + sign + count,
        }
    });
    (whole > 0 && fraction + exponent > 0).then_some(whole + fraction + exponent)
}

/// An integer literal as decimal digits, and its length.
pub fn integer(text: &str) -> (String, usize) {
    for (prefix, radix) in [("0b", 2), ("0o", 8), ("0x", 16)] {
        let head = text.get(..2).unwrap_or_default().to_ascii_lowercase();
        let length = if head == prefix { digits(&text[2..], radix) } else { 0 };
        if length > 0 {
            let number = u128::from_str_radix(&text[2..2 + length].replace('_', ""), radix);
            return (number.unwrap_or(u128::MAX).to_string(), 2 + length);
        }
    }
    let mut length = digits(text, 10);
    if text.starts_with('0') {
        // Python does not allow leading zeros.
        length = text[..length].find(|c| c != '0' && c != '_').unwrap_or(length).max(1);
    }
    let number = text[..length].replace('_', "");
    let trimmed = number.trim_start_matches('0');
    (if trimmed.is_empty() { "0".into() } else { trimmed.to_owned() }, length)
}
