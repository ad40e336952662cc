//! Numbers with a point, from text and to text.
//!
//! The standard library reads and prints floats as fast as can be, with 30 KB of code and tables
//! for it. A client reads one of its command line and prints one of a payload now and then.

use std::iter::repeat;

/// A number such as `12.5` or `1e-2`, in units of its digit number `digits` behind the point; what
/// lies behind that digit is cut. `None` for anything else, and for what 64 bits do not hold.
pub(super) fn read(text: &str, digits: usize) -> Option<u64> {
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.parse::<i64>().ok()?.clamp(-99, 99)),
        None => (text, 0),
    };
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole, part) == ("", "") || !is_number(whole) || !is_number(part) {
        return None;
    }
    let count = (whole.len() + digits).saturating_add_signed(exponent as isize);
    let all = text.bytes().filter(u8::is_ascii_digit).chain(repeat(b'0'));
    all.take(count).try_fold(0_u64, |number, digit| {
        number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
    })
}

/// A float with `precision` digits behind the point, as C's `%.*f` prints it: its exact value,
/// rounded, and to the even digit where it lies in the middle.
pub(super) fn print(value: f64, precision: usize) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{sign}inf");
    }
    let (mut digits, point) = exact(value);
    let cut = point.saturating_sub(precision);
    if cut > 0 {
        digits.resize(digits.len().max(cut + 1), 0);
        let rest: Vec<u8> = digits.drain(..cut).collect();
        let is_more = rest[..cut - 1].iter().any(|&digit| digit > 0);
        let is_up = match rest[cut - 1] {
            5 => is_more || digits[0] % 2 == 1,
            first => first > 5,
        };
        if is_up {
            scale(&mut digits, 1, 1);
        }
    }
    let point = point - cut;
    digits.resize(digits.len().max(point + 1), 0);
    let text = |digits: &[u8]| -> String {
        let letters = digits.iter().rev().map(|digit| char::from(b'0' + digit));
        letters.collect()
    };
    let whole = text(&digits[point..]);
    let zeros = precision - point;
    let part = text(&digits[..point]);
    match precision {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{part}{:0<zeros$}", ""),
    }
}

/// The decimal digits of a float's value without its sign, the lowest first, and how many of them
/// stand behind the point.
fn exact(value: f64) -> (Vec<u8>, usize) {
    let (fraction, exponent) = (
        value.to_bits() & ((1 << 52) - 1),
        value.to_bits() >> 52 & 0x7ff,
    );
    let mantissa = if exponent == 0 {
        fraction
    } else {
        fraction | 1 << 52
    };
    // It is the mantissa times two to the power of this.
    let power = exponent.max(1) as i32 - 1075;
    let mut digits = Vec::new();
    scale(&mut digits, 1, mantissa);
    // One half is five tenths.
    let (factor, point) = if power < 0 { (5, -power) } else { (2, 0) };
    for _ in 0..power.abs() {
        scale(&mut digits, factor, 0);
    }
    (digits, point as usize)
}

/// Multiplies a number in decimal digits, the lowest first, and adds to it.
fn scale(digits: &mut Vec<u8>, factor: u64, add: u64) {
    let mut carry = add;
    for digit in digits.iter_mut() {
        carry += u64::from(*digit) * factor;
        *digit = (carry % 10) as u8;
        carry /= 10;
    }
    while carry > 0 {
        digits.push((carry % 10) as u8);
        carry /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_digit_by_digit() {
        for (text, expected) in [
            ("1", Some(10_000)),
            ("0.1", Some(1_000)),
            (".5", Some(5_000)),
            ("5.", Some(50_000)),
            ("12.34567", Some(123_456)),
            ("00012", Some(120_000)),
            ("1844674407370955.1615", Some(u64::MAX)),
            ("1844674407370955.1616", None),
            ("", None),
            (".", None),
            ("-1", None),
            ("1.2.3", None),
            ("1e3", Some(10_000_000)),
            ("1.5E+1", Some(150_000)),
            (".5e1", Some(50_000)),
            ("12345e-2", Some(1_234_500)),
            ("1e-4", Some(1)),
            ("9e-5", Some(0)),
            ("9e-99", Some(0)),
            ("1e99", None),
            ("0e99", Some(0)),
            ("1e999", None),
            ("1e", None),
            ("e3", None),
            ("1e1.5", None),
            ("1e3e3", None),
            ("1.23456x", None),
            ("NaN", None),
        ] {
            assert_eq!(read(text, 4), expected, "{text}");
        }
    }

    #[test]
    fn floats_are_printed_as_the_standard_library_does() {
        let mut random = fastrand::Rng::with_seed(0x00f1_0a75);
        let chosen = [
            0.0,
            -0.0,
            0.5,
            1.5,
            2.5,
            -0.125,
            0.375,
            9.5,
            99.995,
            0.05,
            1e-320,
            1e300,
            1.0,
            1e22,
            f64::MIN_POSITIVE,
            f64::MAX,
            f64::EPSILON,
            f64::INFINITY,
            f64::NEG_INFINITY,
        ];
        let any = std::iter::repeat_with(|| match random.u8(..4) {
            0 => f64::from_bits(random.u64(..)),
            1 => f64::from(f32::from_bits(random.u32(..))),
            2 => f64::from(random.i32(..)) / 1024.0,
            _ => f64::from(random.i32(..)) / 1000.0,
        });
        for (count, value) in chosen.into_iter().chain(any.take(2000)).enumerate() {
            let precision = [0, 1, 2, 3, 6, 17, 40][count % 7];
            let expected = format!("{value:.precision$}").replace("NaN", "nan");
            assert_eq!(print(value, precision), expected, "{value:?} {precision}");
        }
    }
}
