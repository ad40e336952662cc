//! Times in what is printed: local time, in the words of the C locale.

use crate::host::calendar::Moment;

/// `%I`: date, time and offset, as `2020-05-06T21:48:00+0100`.
pub fn iso_8601(at: &Moment) -> String {
    at.text("%FT%T%z")
}

/// The time in JSON: as [`iso_8601`], with microseconds.
pub fn iso_8601_micros(at: &Moment) -> String {
    let micros = at.nanos() / 1000;
    format!("{}.{micros:06}{}", at.text("%FT%T"), at.text("%z"))
}

/// `%U`: seconds since 1970 with nine decimals.
pub fn unix(at: &Moment) -> String {
    format!("{}.{:09}", at.unix_s(), at.nanos())
}

/// `@X`: what `%X` means to strftime in the C locale, and `@N` the nanoseconds. What strftime does
/// not know stays as it stands there.
pub fn part(at: &Moment, letter: char) -> String {
    at.text(&format!("%{letter}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::calendar::Zone;

    /// Checked against the C library's strftime for the same moment.
    #[test]
    fn every_part_is_what_the_c_locale_says() {
        let zone = Zone::named("<+01>-1").unwrap();
        let at = Moment::new(1_609_646_829, 12_345_678, &zone).unwrap();
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
