//! Local time: what the clock and the calendar on the wall of this machine show at a moment.
//!
//! The C library is not asked: it would want unsafe code, and a static one differs from the
//! system's. What a log line and the clients' formats need of a calendar is little: the date of a
//! second (`Civil`), the rules of the machine's zone (`zone`), strftime in the C locale
//! (`strftime`).

mod strftime;
mod zone;

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

pub use zone::Zone;

/// Seconds since 1970 that a calendar has a date for: the years -9999 to 9999.
const SECONDS: std::ops::RangeInclusive<i64> = -377_705_116_800..=253_402_300_799;
const DAY_S: i64 = 86_400;

/// A moment, as the clocks of a zone show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    unix_s: i64,
    nanos: u32,
    /// How far the zone is east of Greenwich.
    offset_s: i32,
    abbreviation: String,
}

impl Moment {
    /// A moment of a zone; none if it lies beyond the calendar.
    pub fn new(unix_s: i64, nanos: u32, zone: &Zone) -> Option<Moment> {
        if !SECONDS.contains(&unix_s) {
            return None;
        }
        let (offset_s, abbreviation) = zone.at(unix_s);
        Some(Moment {
            unix_s,
            nanos,
            offset_s,
            abbreviation: abbreviation.to_owned(),
        })
    }

    /// Now; a clock beyond the calendar shows its beginning.
    pub fn now(zone: &Zone) -> Moment {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let (s, nanos) = since.map_or((0, 0), |t| (t.as_secs(), t.subsec_nanos()));
        let s = i64::try_from(s).ok();
        s.and_then(|s| Moment::new(s, nanos, zone))
            .unwrap_or(Moment {
                unix_s: 0,
                nanos: 0,
                offset_s: 0,
                abbreviation: "UTC".to_owned(),
            })
    }

    /// Seconds since 1970.
    pub fn unix_s(&self) -> i64 {
        self.unix_s
    }

    /// Nanoseconds of the second.
    pub fn nanos(&self) -> u32 {
        self.nanos
    }

    /// What the zone is called at this moment.
    pub fn abbreviation(&self) -> &str {
        &self.abbreviation
    }

    /// Writes it as strftime does in the C locale. What strftime does not know stays as it stands.
    pub fn format(&self, format: &str, out: &mut impl fmt::Write) -> fmt::Result {
        strftime::format(self, format, out)
    }

    /// As [`format`](Self::format), as a text of its own.
    pub fn text(&self, format: &str) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.format(format, &mut text);
        text
    }

    fn civil(&self) -> Civil {
        Civil::new(self.unix_s + i64::from(self.offset_s))
    }
}

/// The first conversion in a strftime format that is not known, for a warning.
pub fn unknown_conversion(format: &str) -> Option<&str> {
    strftime::unknown(format)
}

/// Date and time of day.
struct Civil {
    year: i64,
    /// 1 to 12.
    month: u8,
    /// 1 to 31.
    day: u8,
    hour: u8,
    minute: u8,
    second: u8,
    /// 0 is Sunday.
    weekday: u8,
    /// 0 is the first of January.
    year_day: u16,
}

impl Civil {
    /// Of a second of local time since 1970.
    fn new(local_s: i64) -> Civil {
        let days = local_s.div_euclid(DAY_S);
        let of_day = local_s.rem_euclid(DAY_S);
        // Years that begin in March have their leap day at the end; 400 of them have 146,097 days.
        let since_march_0 = days + 719_468;
        let era = since_march_0.div_euclid(146_097);
        let of_era = since_march_0.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
        let day_of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let march_month = (5 * day_of_year + 2) / 153;
        let month = if march_month < 10 {
            march_month + 3
        } else {
            march_month - 9
        };
        let year = era * 400 + year_of_era + i64::from(month <= 2);
        Civil {
            year,
            month: month as u8,
            day: (day_of_year - (153 * march_month + 2) / 5 + 1) as u8,
            hour: (of_day / 3600) as u8,
            minute: (of_day / 60 % 60) as u8,
            second: (of_day % 60) as u8,
            weekday: (days + 4).rem_euclid(7) as u8,
            year_day: (days - days_before_year(year)) as u16,
        }
    }
}

/// Days from 1970 to the first of January of a year.
fn days_before_year(year: i64) -> i64 {
    let before = year - 1;
    365 * (year - 1970) + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400)
        - 477
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

#[cfg(test)]
mod tests;
