//! Numbers, sizes and times as people read them.

/// `41 233`: digits in groups of three.
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// `2.1 M`: three digits and the thousands as a letter.
pub fn short(value: f64) -> String {
    const UNITS: [(f64, &str); 5] = [(1e15, " P"), (1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k")];
    match UNITS.iter().find(|(unit, _)| value.abs() >= *unit) {
        Some((unit, name)) => format!("{}{name}", three_digits(value / unit)),
        None => format!("{} ", three_digits(value)).trim_end().to_owned(),
    }
}

/// Bytes in binary units, `57 MiB`.
pub fn bytes(value: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| value >= *unit) {
        Some((unit, name)) => format!("{} {name}", three_digits(value as f64 / *unit as f64)),
        None => format!("{value} B"),
    }
}

/// Seconds as `8.2 s`, `3 min 20 s`, `2 h 05 min` or `3 d 04 h`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    let (minutes, hours, days) = (whole / 60, whole / 3600, whole / 86_400);
    match whole {
        0..10 => format!("{seconds:.1} s"),
        10..60 => format!("{whole} s"),
        60..3600 => format!("{minutes} min {:02} s", whole % 60),
        3600..86_400 => format!("{hours} h {:02} min", minutes % 60),
        _ => format!("{days} d {:02} h", hours % 24),
    }
}

/// A metric: four significant digits, in exponent form where it is very small or large.
pub fn metric(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else {
        let decimals = (3 - size.log10().floor() as i32).clamp(0, 4) as usize;
        format!("{value:.decimals$}")
    }
}

fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size < 10.0 => 2,
        size if size < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([count(7), count(1234), count(1_234_567)], ["7", "1 234", "1 234 567"]);
        assert_eq!([short(999.0), short(2_140_000.0), short(3.9e13)], ["999", "2.14 M", "39 T"]);
        assert_eq!([bytes(17), bytes(60_000_000), bytes(1 << 30)], ["17 B", "57.2 MiB", "1 GiB"]);
        assert_eq!([duration(8.24), duration(59.7), duration(200.0)], ["8.2 s", "1 min 00 s", "3 min 20 s"]);
        assert_eq!([duration(7500.0), duration(275_000.0)], ["2 h 05 min", "3 d 04 h"]);
        assert_eq!([metric(0.712349), metric(5e-5), metric(-12.3456)], ["0.7123", "5.00e-5", "-12.35"]);
        assert_eq!([metric(0.0), metric(1234.5), metric(0.05)], ["0", "1234", "0.0500"]);
    }
}
