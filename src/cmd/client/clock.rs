//! Times in what is printed: local time, in the words of the C locale.

use jiff::Zoned;

/// `%I`: date, time and offset, as `2020-05-06T21:48:00+0100`.
pub fn iso_8601(at: &Zoned) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%z").to_string()
}

/// The time in JSON: as [`iso_8601`], with microseconds.
pub fn iso_8601_micros(at: &Zoned) -> String {
    let micros = at.timestamp().subsec_nanosecond() / 1000;
    let (date, offset) = (at.strftime("%Y-%m-%dT%H:%M:%S"), at.strftime("%z"));
    format!("{date}.{micros:06}{offset}")
}

/// `%U`: seconds since 1970 with nine decimals.
pub fn unix(at: &Zoned) -> String {
    let at = at.timestamp();
    let nanos = i128::from(at.as_second()) * 1_000_000_000 + i128::from(at.subsec_nanosecond());
    format!(
        "{}.{:09}",
        nanos.div_euclid(1_000_000_000),
        nanos.rem_euclid(1_000_000_000)
    )
}

/// `@X`: what `%X` means to strftime in the C locale, and `@N` the nanoseconds. What strftime does
/// not know stays as it stands there.
pub fn part(at: &Zoned, letter: char) -> String {
    let pattern = match letter {
        'N' => return format!("{:09}", at.timestamp().subsec_nanosecond()),
        'Z' => {
            return at
                .time_zone()
                .to_offset_info(at.timestamp())
                .abbreviation()
                .to_owned();
        }
        // These depend on the locale.
        'c' => "%a %b %e %H:%M:%S %Y",
        'x' => "%m/%d/%y",
        'X' => "%H:%M:%S",
        'r' => "%I:%M:%S %p",
        'P' => return at.strftime("%p").to_string().to_lowercase(),
        'a' | 'A' | 'b' | 'B' | 'C' | 'd' | 'D' | 'e' | 'F' | 'g' | 'G' | 'h' | 'H' | 'I' | 'j'
        | 'k' | 'l' | 'm' | 'M' | 'n' | 'p' | 'R' | 's' | 'S' | 't' | 'T' | 'u' | 'U' | 'V'
        | 'w' | 'W' | 'y' | 'Y' | 'z' => return at.strftime(&format!("%{letter}")).to_string(),
        _ => return format!("%{letter}"),
    };
    at.strftime(pattern).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use jiff::tz::TimeZone;

    /// Checked against the C library's strftime for the same moment.
    #[test]
    fn every_part_is_what_the_c_locale_says() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let at = date(2021, 1, 3)
            .at(5, 7, 9, 12_345_678)
            .to_zoned(zone)
            .unwrap();
        for (letter, expected) in [
            ('a', "Sun"),
            ('A', "Sunday"),
            ('b', "Jan"),
            ('B', "January"),
            ('c', "Sun Jan  3 05:07:09 2021"),
            ('C', "20"),
            ('d', "03"),
            ('D', "01/03/21"),
            ('e', " 3"),
            ('F', "2021-01-03"),
            ('g', "20"),
            ('G', "2020"),
            ('h', "Jan"),
            ('H', "05"),
            ('I', "05"),
            ('j', "003"),
            ('k', " 5"),
            ('l', " 5"),
            ('m', "01"),
            ('M', "07"),
            ('n', "\n"),
            ('N', "012345678"),
            ('p', "AM"),
            ('P', "am"),
            ('r', "05:07:09 AM"),
            ('R', "05:07"),
            ('s', "1609646829"),
            ('S', "09"),
            ('t', "\t"),
            ('T', "05:07:09"),
            ('u', "7"),
            ('U', "01"),
            ('V', "53"),
            ('w', "0"),
            ('W', "00"),
            ('x', "01/03/21"),
            ('X', "05:07:09"),
            ('y', "21"),
            ('Y', "2021"),
            ('z', "+0100"),
            ('Q', "%Q"),
        ] {
            assert_eq!(part(&at, letter), expected, "@{letter}");
        }
        assert_eq!(iso_8601(&at), "2021-01-03T05:07:09+0100");
        assert_eq!(iso_8601_micros(&at), "2021-01-03T05:07:09.012345+0100");
        assert_eq!(unix(&at), "1609646829.012345678");
    }
}
