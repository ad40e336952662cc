//! strftime in the C locale, with GNU's flags and widths: `%-d`, `%_H`, `%010Y`, `%^a`, and the
//! modifiers of POSIX: `%Ey`, `%Od`.

use super::{Civil, Moment, days_before_year};
use std::fmt::{self, Write};

const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];
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
/// The conversions that there are.
const LETTERS: &str = "%aAbBcCdDeFgGhHIjklmMnNpPrRsStTuUVwWxXyYzZ";
/// Those of them that POSIX lets `E` and `O` stand before, for another calendar's years and another
/// script's digits: in the C locale there is none.
const MODIFIED: [(u8, &str); 2] = [(b'E', "cCxXyY"), (b'O', "bBdehHImMSuUVwWy")];
/// The widest field.
const WIDTH_MAX: usize = 255;

/// What a number is filled up with.
#[derive(Clone, Copy)]
enum Fill {
    /// As its conversion has it.
    Own,
    /// Nothing, with `-`.
    Nothing,
    /// This, with `_` or `0`.
    With(u8),
}

/// A conversion: `%`, flags, a width, a letter.
struct Field {
    letter: u8,
    fill: Fill,
    is_upper: bool,
    width: usize,
    /// Its bytes in the format.
    len: usize,
}

/// The conversion that a text beginning with `%` begins with; none if it is not known.
fn field(text: &str) -> Option<Field> {
    let mut field = Field {
        letter: 0,
        fill: Fill::Own,
        is_upper: false,
        width: 0,
        len: 0,
    };
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            b'-' => field.fill = Fill::Nothing,
            b'_' => field.fill = Fill::With(b' '),
            b'0' if field.width == 0 => field.fill = Fill::With(b'0'),
            b'^' => field.is_upper = true,
            b'0'..=b'9' => {
                field.width = field.width * 10 + usize::from(byte - b'0');
                if field.width > WIDTH_MAX {
                    return None;
                }
            }
            _ => {
                let modified = MODIFIED.iter().find(|(modifier, _)| *modifier == byte);
                let (letter, letters) = match modified {
                    Some((_, letters)) => (*text.as_bytes().get(at + 1)?, *letters),
                    None => (byte, LETTERS),
                };
                field.letter = letter;
                field.len = at + 1 + usize::from(modified.is_some());
                return letters.as_bytes().contains(&letter).then_some(field);
            }
        }
    }
    None
}

/// What of a format is not known first.
pub(super) fn unknown(format: &str) -> Option<&str> {
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        rest = &rest[at..];
        match field(rest) {
            Some(field) => rest = &rest[field.len..],
            None => return Some(rest),
        }
    }
    None
}

pub(super) fn format(moment: &Moment, format: &str, out: &mut impl Write) -> fmt::Result {
    let civil = moment.civil();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        out.write_str(&rest[..at])?;
        rest = &rest[at..];
        match field(rest) {
            Some(field) => {
                out.write_str(&convert(moment, &civil, &field))?;
                rest = &rest[field.len..];
            }
            None => {
                out.write_str("%")?;
                rest = &rest[1..];
            }
        }
    }
    out.write_str(rest)
}

/// One conversion, filled up to its width.
fn convert(moment: &Moment, civil: &Civil, field: &Field) -> String {
    let number = |value: i64, width, fill| number(value, width, fill, field);
    let text = match field.letter {
        b'Y' => number(civil.year, 4, b'0'),
        b'C' => number(civil.year.div_euclid(100), 2, b'0'),
        b'y' => number(civil.year.rem_euclid(100), 2, b'0'),
        b'G' => number(iso_week(civil).0, 4, b'0'),
        b'g' => number(iso_week(civil).0.rem_euclid(100), 2, b'0'),
        b'V' => number(iso_week(civil).1, 2, b'0'),
        b'm' => number(i64::from(civil.month), 2, b'0'),
        b'd' => number(i64::from(civil.day), 2, b'0'),
        b'e' => number(i64::from(civil.day), 2, b' '),
        b'H' => number(i64::from(civil.hour), 2, b'0'),
        b'k' => number(i64::from(civil.hour), 2, b' '),
        b'I' => number(twelve(civil), 2, b'0'),
        b'l' => number(twelve(civil), 2, b' '),
        b'M' => number(i64::from(civil.minute), 2, b'0'),
        b'S' => number(i64::from(civil.second), 2, b'0'),
        b'N' => number(i64::from(moment.nanos), 9, b'0'),
        b'j' => number(i64::from(civil.year_day) + 1, 3, b'0'),
        b'u' => number((i64::from(civil.weekday) + 6) % 7 + 1, 1, b'0'),
        b'w' => number(i64::from(civil.weekday), 1, b'0'),
        b'U' => number(week(civil, 0), 2, b'0'),
        b'W' => number(week(civil, 1), 2, b'0'),
        b's' => number(moment.unix_s, 1, b'0'),
        letter => {
            let text = words(moment, civil, letter);
            let blanks = field.width.saturating_sub(text.len());
            format!("{:blanks$}{text}", "")
        }
    };
    if field.is_upper {
        text.to_ascii_uppercase()
    } else {
        text
    }
}

/// What is not one number.
fn words(moment: &Moment, civil: &Civil, letter: u8) -> String {
    let day = DAYS[usize::from(civil.weekday)];
    let month = MONTHS[usize::from(civil.month) - 1];
    let half = ["am", "pm"][usize::from(civil.hour >= 12)];
    match letter {
        b'a' => day[..3].to_owned(),
        b'A' => day.to_owned(),
        b'b' | b'h' => month[..3].to_owned(),
        b'B' => month.to_owned(),
        b'c' => moment.text("%a %b %e %H:%M:%S %Y"),
        b'D' | b'x' => moment.text("%m/%d/%y"),
        b'F' => moment.text("%Y-%m-%d"),
        b'n' => "\n".to_owned(),
        b'p' => half.to_ascii_uppercase(),
        b'P' => half.to_owned(),
        b'r' => moment.text("%I:%M:%S %p"),
        b'R' => moment.text("%H:%M"),
        b't' => "\t".to_owned(),
        b'T' | b'X' => moment.text("%H:%M:%S"),
        b'z' => {
            let sign = if moment.offset_s < 0 { '-' } else { '+' };
            let minutes = moment.offset_s.unsigned_abs() / 60;
            format!("{sign}{:02}{:02}", minutes / 60, minutes % 60)
        }
        b'Z' => moment.abbreviation.clone(),
        _ => "%".to_owned(),
    }
}

/// A number of at least `width` digits, unless the field says otherwise.
fn number(value: i64, width: usize, fill: u8, field: &Field) -> String {
    let (digits, sign) = (
        value.unsigned_abs().to_string(),
        if value < 0 { "-" } else { "" },
    );
    let (fill, width) = match field.fill {
        Fill::Nothing => return format!("{sign}{digits}"),
        Fill::With(fill) => (fill, width.max(field.width)),
        Fill::Own => (fill, width.max(field.width)),
    };
    let missing = width.saturating_sub(digits.len() + sign.len());
    if fill == b' ' {
        format!("{:missing$}{sign}{digits}", "")
    } else {
        format!("{sign}{}{digits}", "0".repeat(missing))
    }
}

fn twelve(civil: &Civil) -> i64 {
    (i64::from(civil.hour) + 11) % 12 + 1
}

/// The number of a week whose first day is this one; days before the first of them are in week 0.
fn week(civil: &Civil, first_day: i64) -> i64 {
    let since_first = (i64::from(civil.weekday) - first_day).rem_euclid(7);
    (i64::from(civil.year_day) + 7 - since_first) / 7
}

/// Year and number of the week of ISO 8601: it belongs to the year that its Thursday is in.
fn iso_week(civil: &Civil) -> (i64, i64) {
    let since_monday = (i64::from(civil.weekday) + 6) % 7;
    let thursday = i64::from(civil.year_day) - since_monday + 3;
    let days = |year| days_before_year(year + 1) - days_before_year(year);
    let (year, thursday) = if thursday < 0 {
        (civil.year - 1, thursday + days(civil.year - 1))
    } else if thursday >= days(civil.year) {
        (civil.year + 1, thursday - days(civil.year))
    } else {
        (civil.year, thursday)
    };
    (year, thursday / 7 + 1)
}
