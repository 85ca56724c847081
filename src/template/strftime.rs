//! `strftime_now`: the time of a run, written by the codes of C's `strftime` in the C locale, as Python
//! supports them on Linux. A code that is not known stays as it is.

use jiff::civil::DateTime;

const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// `now.strftime(format)`; `now` has no time zone, so `%Z` and `%z` are empty.
pub fn strftime(now: DateTime, format: &str) -> String {
    let mut out = String::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        let code = &rest[at..];
        let flags = &code[1..code.len() - code[1..].trim_start_matches(['-', '_', '0', '^', '#']).len()];
        let mut after = &code[1 + flags.len()..];
        let letter = after.chars().next();
        after = &after[letter.map_or(0, char::len_utf8)..];
        match letter.and_then(|letter| written(now, letter, flags)) {
            Some(text) => out.push_str(&text),
            None => out.push_str(&code[..code.len() - after.len()]),
        }
        rest = after;
    }
    out + rest
}

/// What a code stands for.
fn written(now: DateTime, code: char, flags: &str) -> Option<String> {
    // A number, padded to some width with zeros or spaces, as the flags say.
    let number = |number: i64, width: usize, fill: char| {
        let fill = flags.chars().rev().find(|flag| matches!(flag, '-' | '_' | '0')).unwrap_or(fill);
        Some(match fill {
            '-' => number.to_string(),
            '_' | ' ' => format!("{number:width$}"),
            _ => format!("{number:0width$}"),
        })
    };
    let text = |text: &str| {
        Some(match flags.chars().last() {
            Some('^') => text.to_uppercase(),
            Some('#') if matches!(code, 'p' | 'Z') => text.to_lowercase(),
            Some('#') => text.to_uppercase(),
            _ => text.to_owned(),
        })
    };
    let within = |format: &str| Some(strftime(now, format));
    let date = now.date();
    let (year, month, day) = (i64::from(date.year()), i64::from(date.month()), i64::from(date.day()));
    let (hour, minute, second) = (i64::from(now.hour()), i64::from(now.minute()), i64::from(now.second()));
    let from_sunday = i64::from(date.weekday().to_sunday_zero_offset());
    let from_monday = i64::from(date.weekday().to_monday_zero_offset());
    let day_of_year = i64::from(date.day_of_year());
    let half_day = (hour + 11) % 12 + 1;
    let week = date.iso_week_date();
    match code {
        'a' => text(&DAYS[from_sunday as usize][..3]),
        'A' => text(DAYS[from_sunday as usize]),
        'b' | 'h' => text(&MONTHS[month as usize - 1][..3]),
        'B' => text(MONTHS[month as usize - 1]),
        'c' => within("%a %b %e %H:%M:%S %Y"),
        'C' => number(year.div_euclid(100), 2, '0'),
        'd' => number(day, 2, '0'),
        'D' | 'x' => within("%m/%d/%y"),
        'e' => number(day, 2, ' '),
        'f' => Some(format!("{:06}", now.subsec_nanosecond() / 1000)),
        'F' => within("%Y-%m-%d"),
        'g' => number(i64::from(week.year()).rem_euclid(100), 2, '0'),
        'G' => number(i64::from(week.year()), 4, '0'),
        'H' => number(hour, 2, '0'),
        'I' => number(half_day, 2, '0'),
        'j' => number(day_of_year, 3, '0'),
        'k' => number(hour, 2, ' '),
        'l' => number(half_day, 2, ' '),
        'm' => number(month, 2, '0'),
        'M' => number(minute, 2, '0'),
        'n' => Some("\n".into()),
        'p' => text(if hour < 12 { "AM" } else { "PM" }),
        'P' => Some(if hour < 12 { "am" } else { "pm" }.into()),
        'r' => within("%I:%M:%S %p"),
        'R' => within("%H:%M"),
        's' => {
            now.to_zoned(jiff::tz::TimeZone::system()).ok().map(|now| now.timestamp().as_second().to_string())
        }
        'S' => number(second, 2, '0'),
        't' => Some("\t".into()),
        'T' | 'X' => within("%H:%M:%S"),
        'u' => number(from_monday + 1, 1, '0'),
        'U' => number((day_of_year + 6 - from_sunday) / 7, 2, '0'),
        'V' => number(i64::from(week.week()), 2, '0'),
        'w' => number(from_sunday, 1, '0'),
        'W' => number((day_of_year + 6 - from_monday) / 7, 2, '0'),
        'y' => number(year.rem_euclid(100), 2, '0'),
        'Y' => number(year, 1, '0'),
        'z' | 'Z' => Some(String::new()),
        '%' => Some("%".into()),
        _ => None,
    }
}

#[cfg(test)]
mod unit_tests {
    use super::*;

    /// Expected values: CPython 3.12 with glibc, `datetime(2024, 7, 6, 9, 5, 3).strftime(…)`.
    #[test]
    fn codes_are_those_of_python() {
        let now = jiff::civil::date(2024, 7, 6).at(9, 5, 3, 0);
        for (format, expected) in FORMATS {
            assert_eq!(strftime(now, format), expected, "{format}");
        }
    }

    const FORMATS: [(&str, &str); 5] = [
        (
            "%x|%X|%c|%D|%F|%T|%R|%r",
            "07/06/24|09:05:03|Sat Jul  6 09:05:03 2024|07/06/24|2024-07-06|09:05:03|09:05|09:05:03 AM",
        ),
        (
            "%a %A %b %B %h %d %-d %_d %e %y %Y %C %j %-j",
            "Sat Saturday Jul July Jul 06 6  6  6 24 2024 20 188 188",
        ),
        (
            "%H %I %k %l %M %S %p %P %f %w %u %U %W %V %G %g",
            "09 09  9  9 05 03 AM am 000000 6 6 26 27 27 2024 24",
        ),
        ("%Z|%z|%%|%q|%E|%", "||%|%q|%E|%"),
        ("%^a %#B %-m %_H %#p %0e", "SAT JULY 7  9 am 06"),
    ];
}
