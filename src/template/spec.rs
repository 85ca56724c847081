//! How Python writes a value into a given width: what `%` and `format` have in common.

use minijinja::Error;
use minijinja::value::Value;

use super::bounds;
use super::comparison::Number;
use super::python::{self, error, type_name};

/// The largest width that a value is padded to, and the largest number of digits.
const WIDEST: usize = 1 << 16;

/// Takes the digits at the beginning of a text off it, and returns their number.
pub fn leading(text: &mut &str) -> usize {
    let digits = &text[..text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len()];
    *text = &text[digits.len()..];
    digits.parse().unwrap_or(if digits.is_empty() { 0 } else { usize::MAX })
}

/// How a value is to be written.
#[derive(Debug, Default)]
pub struct Spec {
    pub fill: Option<char>,
    pub align: Option<char>,
    pub left: bool,
    pub plus: bool,
    pub space: bool,
    pub zero: bool,
    pub alternate: bool,
    pub grouping: Option<char>,
    pub width: usize,
    pub precision: Option<usize>,
}

impl Spec {
    pub fn check(&self) -> Result<(), Error> {
        if self.width > WIDEST || self.precision.is_some_and(|precision| precision > WIDEST) {
            return Err(error("a format asks for too wide a text"));
        }
        bounds::make_text(self.width + self.precision.unwrap_or(0))
    }

    pub fn printf(&self, conversion: char, value: &Value) -> Result<String, Error> {
        self.check()?;
        let number = || {
            Number::of(value)
                .ok_or_else(|| error(format!("`%{conversion}` needs a number, not `{}`", type_name(value))))
        };
        Ok(match conversion {
            's' => self.text(&python::str(value), false),
            'r' => self.text(&python::repr(value), false),
            'a' => self.text(&python::ascii(value), false),
            'c' => {
                let code = value.as_i64().and_then(|code| u32::try_from(code).ok()).and_then(char::from_u32);
                let c = code.map_or_else(|| python::str(value), String::from);
                if c.chars().count() != 1 {
                    return Err(error("`%c` needs one character"));
                }
                self.text(&c, false)
            }
            'd' | 'i' | 'u' => match number()? {
                Number::Integer(number) => {
                    self.number(number < 0, "", self.least(number.unsigned_abs().to_string()))
                }
                Number::Float(number) if number.is_finite() => {
                    self.number(number <= -1.0, "", self.least(format!("{:.0}", number.abs().trunc())))
                }
                Number::Float(_) => return Err(error("`%d` needs a finite number")),
            },
            'x' | 'X' | 'o' => match number()? {
                Number::Integer(number) => {
                    let (prefix, digits) = radix(conversion, number.unsigned_abs());
                    self.number(number < 0, if self.alternate { prefix } else { "" }, self.least(digits))
                }
                Number::Float(_) => return Err(error(format!("`%{conversion}` needs an integer"))),
            },
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
                let number = number()?.float();
                self.number(
                    number.is_sign_negative() && !number.is_nan(),
                    "",
                    self.float(conversion, number.abs()),
                )
            }
            _ => return Err(error(format!("`%{conversion}` is not a conversion"))),
        })
    }

    /// The digits with zeros before them, so that there are at least as many as the precision says.
    fn least(&self, digits: String) -> String {
        let missing = self.precision.unwrap_or(0).saturating_sub(digits.len());
        "0".repeat(missing) + &digits
    }

    pub fn float(&self, conversion: char, number: f64) -> String {
        let precision = self.precision.unwrap_or(6);
        let upper = conversion.is_ascii_uppercase();
        let text = match (number.is_finite(), conversion.to_ascii_lowercase()) {
            (false, _) => {
                if number.is_nan() {
                    "nan".to_owned()
                } else {
                    "inf".to_owned()
                }
            }
            (_, 'f') => format!("{number:.precision$}"),
            (_, 'e') => exponent(&format!("{number:.precision$e}")),
            _ => {
                let precision = precision.max(1);
                let scientific = format!("{number:.*e}", precision - 1);
                let power: i64 =
                    scientific.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or(0);
                let text = if power < -4 || power >= precision as i64 {
                    exponent(&scientific)
                } else {
                    format!("{number:.*}", (precision as i64 - 1 - power).max(0) as usize)
                };
                if self.alternate { text } else { trimmed(&text) }
            }
        };
        if upper { text.to_uppercase() } else { text }
    }

    /// A number with its sign and prefix, padded.
    pub fn number(&self, negative: bool, prefix: &str, digits: String) -> String {
        let sign = match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (_, true, _) => "+",
            (_, _, true) => " ",
            _ => "",
        };
        let digits = match self.grouping {
            Some(separator) => grouped(&digits, separator),
            None => digits,
        };
        let head = format!("{sign}{prefix}");
        let length = head.chars().count() + digits.chars().count();
        let missing = self.width.saturating_sub(length);
        if (self.zero && !self.left && self.align.is_none()) || self.align == Some('=') {
            let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
            return format!("{head}{}{digits}", fill.to_string().repeat(missing));
        }
        self.padded(&format!("{head}{digits}"), true)
    }

    /// A text, cut to the precision and padded.
    pub fn text(&self, text: &str, right: bool) -> String {
        let cut: String = match self.precision {
            Some(precision) => text.chars().take(precision).collect(),
            None => text.to_owned(),
        };
        // `%` aligns a text to the right, `format` aligns it to the left.
        self.padded(&cut, right || (self.align.is_none() && !self.left && self.fill.is_none()))
    }

    fn padded(&self, text: &str, right: bool) -> String {
        let missing = self.width.saturating_sub(text.chars().count());
        let left = match self.align {
            Some('<') => 0,
            Some('^') => missing / 2,
            Some(_) => missing,
            None if self.left || !right => 0,
            None => missing,
        };
        let fill = self.fill.unwrap_or(' ').to_string();
        format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left))
    }
}

pub fn radix(conversion: char, number: u128) -> (&'static str, String) {
    match conversion {
        'x' => ("0x", format!("{number:x}")),
        'X' => ("0X", format!("{number:X}")),
        'b' => ("0b", format!("{number:b}")),
        _ => ("0o", format!("{number:o}")),
    }
}

/// `1e7` as `1e+07`.
fn exponent(text: &str) -> String {
    let (digits, power) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{digits}e{sign}{power:0>2}")
}

/// The number without zeros at the end of its fraction.
fn trimmed(text: &str) -> String {
    let (digits, power) = text.find('e').map_or((text, ""), |at| text.split_at(at));
    let digits =
        if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits };
    format!("{digits}{power}")
}

/// The number with the digits before the point in groups of three.
fn grouped(digits: &str, separator: char) -> String {
    let whole = &digits[..digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len())];
    let mut out = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(separator);
        }
        out.push(digit);
    }
    out + &digits[whole.len()..]
}
