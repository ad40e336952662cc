//! The time zone of this machine: what `TZ` names, or /etc/localtime.
//!
//! Zone files are those of the tz database (TZif, RFC 9636): moments from which on a kind of time
//! holds, and a rule as `TZ` has them in POSIX, for what comes after the last of them. A file that
//! is damaged or missing leaves UTC; nothing in it can do more than that.

use super::{Civil, DAY_S, days_before_year, is_leap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Zone files are a few KB.
const FILE_BYTES_MAX: u64 = 256 * 1024;
const ZONE_FOLDERS: [&str; 2] = ["/usr/share/zoneinfo", "/usr/lib/zoneinfo"];

/// What the clocks of a place show, at any time.
#[derive(Clone, Debug)]
pub struct Zone {
    /// From when on which kind of time holds, in order.
    changes: Vec<(i64, usize)>,
    /// The first one holds before every change. There is one at least.
    kinds: Vec<Kind>,
    /// What holds after the last change.
    rule: Option<Rule>,
}

/// How far east of Greenwich, and what it is called.
#[derive(Clone, Debug)]
struct Kind {
    offset_s: i32,
    abbreviation: String,
}

#[derive(Clone, Debug)]
struct Rule {
    standard: Kind,
    summer: Option<Summer>,
}

#[derive(Clone, Debug)]
struct Summer {
    kind: Kind,
    from: Turn,
    to: Turn,
}

/// When the clocks are changed: a day of the year, and seconds of local time from its beginning.
#[derive(Clone, Debug)]
struct Turn {
    day: Day,
    time_s: i64,
}

#[derive(Clone, Debug)]
enum Day {
    /// 1 to 365; the 29th of February is never counted.
    Julian(i64),
    /// 0 to 365.
    OfYear(i64),
    /// The weekday of this week of a month; 5 is the last one.
    OfMonth { month: usize, week: i64, day: i64 },
}

impl Zone {
    /// The zone without a summer at Greenwich.
    pub fn utc() -> Zone {
        Zone {
            changes: Vec::new(),
            kinds: vec![Kind {
                offset_s: 0,
                abbreviation: "UTC".to_owned(),
            }],
            rule: None,
        }
    }

    /// The zone of this machine and process, as it is set now.
    pub fn system() -> Zone {
        let found = match std::env::var("TZ") {
            Err(_) => Zone::of_file(Path::new("/etc/localtime")),
            Ok(name) => Zone::named(&name),
        };
        found.unwrap_or_else(Zone::utc)
    }

    /// What a value of `TZ` means; none if it means nothing.
    pub fn named(name: &str) -> Option<Zone> {
        let name = name.strip_prefix(':').unwrap_or(name);
        if name.starts_with('/') {
            return Zone::of_file(Path::new(name));
        }
        let is_outside = name.split('/').any(|part| part == "..");
        let mut folders = ZONE_FOLDERS.iter().map(Path::new);
        let of_file =
            folders.find_map(|folder| Zone::of_file(&folder.join(name)).filter(|_| !is_outside));
        of_file.or_else(|| {
            let rule = Some(Rule::parse(name)?);
            Some(Zone {
                rule,
                ..Zone::utc()
            })
        })
    }

    fn of_file(path: &Path) -> Option<Zone> {
        let mut bytes = Vec::new();
        let file = File::open(path).ok()?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
        Zone::parse(&bytes)
    }

    /// Reads a zone file.
    pub(super) fn parse(bytes: &[u8]) -> Option<Zone> {
        let first = Header::parse(bytes)?;
        if first.version == 0 {
            return first.body(bytes.get(Header::BYTES..)?, 4);
        }
        // What follows says the same with wider numbers.
        let behind = Header::BYTES.checked_add(first.body_bytes(4)?)?;
        let second = bytes.get(behind..)?;
        let header = Header::parse(second)?;
        let body = second.get(Header::BYTES..)?;
        let mut zone = header.body(body, 8)?;
        let footer = body.get(header.body_bytes(8)?..)?.strip_prefix(b"\n")?;
        let footer = footer.split(|byte| *byte == b'\n').next()?;
        if !footer.is_empty() {
            zone.rule = Some(Rule::parse(std::str::from_utf8(footer).ok()?)?);
        }
        Some(zone)
    }

    /// What holds at a second since 1970: how far east, and what it is called.
    pub(super) fn at(&self, unix_s: i64) -> (i32, &str) {
        let changed = self.changes.partition_point(|(from, _)| *from <= unix_s);
        let kind = match (&self.rule, changed.checked_sub(1)) {
            (Some(rule), _) if changed == self.changes.len() => rule.at(unix_s),
            (_, Some(last)) => &self.kinds[self.changes[last].1],
            (_, None) => &self.kinds[0],
        };
        (kind.offset_s, &kind.abbreviation)
    }
}

/// How much a part of a zone file holds.
struct Header {
    version: u8,
    changes: usize,
    kinds: usize,
    letters: usize,
    leap_seconds: usize,
    /// Two kinds of flags, which matter to nobody any more.
    flags: usize,
}

impl Header {
    const BYTES: usize = 44;

    fn parse(bytes: &[u8]) -> Option<Header> {
        let bytes = bytes.get(..Self::BYTES)?.strip_prefix(b"TZif")?;
        let count = |i: usize| Some(be(bytes.get(16 + 4 * i..20 + 4 * i)?) as usize);
        Some(Header {
            version: bytes[0],
            flags: count(0)?.checked_add(count(1)?)?,
            leap_seconds: count(2)?,
            changes: count(3)?,
            kinds: count(4)?,
            letters: count(5)?,
        })
    }

    /// The length of the body, with times of so many bytes.
    fn body_bytes(&self, time: usize) -> Option<usize> {
        let parts = [
            (self.changes, time + 1),
            (self.kinds, 6),
            (self.letters, 1),
            (self.leap_seconds, time + 4),
            (self.flags, 1),
        ];
        parts.into_iter().try_fold(0usize, |sum, (count, bytes)| {
            sum.checked_add(count.checked_mul(bytes)?)
        })
    }

    fn body(&self, bytes: &[u8], time: usize) -> Option<Zone> {
        if bytes.len() < self.body_bytes(time)? || self.kinds == 0 {
            return None;
        }
        let (times, rest) = bytes.split_at(self.changes * time);
        let (indexes, rest) = rest.split_at(self.changes);
        let (kinds, rest) = rest.split_at(self.kinds * 6);
        let letters = &rest[..self.letters];
        let changes: Vec<(i64, usize)> = times
            .chunks_exact(time)
            .map(be)
            .zip(indexes.iter().map(|index| usize::from(*index)))
            .collect();
        let is_sound = changes.iter().all(|(_, kind)| *kind < self.kinds)
            && changes.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let kinds: Option<Vec<Kind>> = kinds
            .chunks_exact(6)
            .map(|kind| {
                let name = letters.get(usize::from(kind[5])..)?;
                let name = name.split(|byte| *byte == 0).next()?;
                Some(Kind {
                    offset_s: be(&kind[..4]) as i32,
                    abbreviation: std::str::from_utf8(name).ok()?.to_owned(),
                })
            })
            .collect();
        let kinds = kinds.filter(|kinds| {
            kinds
                .iter()
                .all(|kind| kind.offset_s.unsigned_abs() < 86_400 * 7)
        });
        Some(Zone {
            changes,
            kinds: kinds.filter(|_| is_sound)?,
            rule: None,
        })
    }
}

/// A number with its sign, most significant byte first.
fn be(bytes: &[u8]) -> i64 {
    let first = bytes.first().map_or(0, |byte| i64::from(*byte as i8));
    bytes
        .iter()
        .skip(1)
        .fold(first, |sum, byte| sum << 8 | i64::from(*byte))
}

impl Rule {
    fn parse(text: &str) -> Option<Rule> {
        let mut words = Words(text);
        let name = words.name()?;
        let standard = Kind {
            abbreviation: name.to_owned(),
            offset_s: -words.time(24)? as i32,
        };
        if words.0.is_empty() {
            let summer = None;
            return Some(Rule { standard, summer });
        }
        let abbreviation = words.name()?.to_owned();
        let offset_s = match words.0.as_bytes().first() {
            None | Some(b',') => standard.offset_s + 3600,
            _ => -words.time(24)? as i32,
        };
        // Without a rule of its own it is that of the United States.
        let mut turns = Words(if words.0.is_empty() {
            ",M3.2.0,M11.1.0"
        } else {
            words.0
        });
        let (from, to) = (turns.turn()?, turns.turn()?);
        let kind = Kind {
            offset_s,
            abbreviation,
        };
        turns.0.is_empty().then_some(Rule {
            standard,
            summer: Some(Summer { kind, from, to }),
        })
    }

    fn at(&self, unix_s: i64) -> &Kind {
        let Some(summer) = &self.summer else {
            return &self.standard;
        };
        let year = Civil::new(unix_s + i64::from(self.standard.offset_s)).year;
        let from = summer.from.local_s(year) - i64::from(self.standard.offset_s);
        let to = summer.to.local_s(year) - i64::from(summer.kind.offset_s);
        let is_summer = if from < to {
            (from..to).contains(&unix_s)
        } else {
            !(to..from).contains(&unix_s)
        };
        if is_summer {
            &summer.kind
        } else {
            &self.standard
        }
    }
}

impl Turn {
    /// When it is in a year, in seconds of local time since 1970.
    fn local_s(&self, year: i64) -> i64 {
        let new_year = days_before_year(year);
        let day = match self.day {
            Day::OfYear(day) => new_year + day,
            Day::Julian(day) => new_year + day - 1 + i64::from(is_leap(year) && day >= 60),
            Day::OfMonth { month, week, day } => {
                let lengths = [31, 28 + i64::from(is_leap(year)), 31, 30, 31, 30];
                let lengths = [&lengths[..], &[31, 31, 30, 31, 30, 31]].concat();
                let first = new_year + lengths[..month - 1].iter().sum::<i64>();
                let to_day = (day - (first + 4)).rem_euclid(7);
                let days = to_day + 7 * (week - 1);
                first
                    + if days < lengths[month - 1] {
                        days
                    } else {
                        days - 7
                    }
            }
        };
        day * DAY_S + self.time_s
    }
}

/// What is left of a rule.
struct Words<'a>(&'a str);

impl<'a> Words<'a> {
    /// Three letters or more, or anything in angle brackets.
    fn name(&mut self) -> Option<&'a str> {
        let (name, rest) = match self.0.strip_prefix('<') {
            Some(quoted) => quoted.split_once('>')?,
            None => {
                let is_end = |c: char| !c.is_ascii_alphabetic();
                self.0.split_at(self.0.find(is_end).unwrap_or(self.0.len()))
            }
        };
        self.0 = rest;
        (name.len() >= 3 && name.is_ascii()).then_some(name)
    }

    fn takes(&mut self, c: char) -> bool {
        let rest = self.0.strip_prefix(c);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// Digits, and no more than this.
    fn number(&mut self, most: i64) -> Option<i64> {
        let is_end = |c: char| !c.is_ascii_digit();
        let (digits, rest) = self.0.split_at(self.0.find(is_end).unwrap_or(self.0.len()));
        self.0 = rest;
        digits.parse().ok().filter(|number| *number <= most)
    }

    /// Hours, minutes and seconds, in seconds.
    fn time(&mut self, hours_max: i64) -> Option<i64> {
        let sign = if self.takes('-') { -1 } else { 1 };
        if sign == 1 {
            self.takes('+');
        }
        let mut time_s = self.number(hours_max)? * 3600;
        if self.takes(':') {
            time_s += self.number(59)? * 60;
            if self.takes(':') {
                time_s += self.number(59)?;
            }
        }
        Some(sign * time_s)
    }

    fn turn(&mut self) -> Option<Turn> {
        if !self.takes(',') {
            return None;
        }
        let day = if self.takes('J') {
            Day::Julian(self.number(365).filter(|day| *day > 0)?)
        } else if self.takes('M') {
            let month = self.number(12).filter(|month| *month > 0)? as usize;
            let week = self.takes('.').then(|| self.number(5))??;
            let day = self.takes('.').then(|| self.number(6))??;
            let week = Some(week).filter(|week| *week > 0)?;
            Day::OfMonth { month, week, day }
        } else {
            Day::OfYear(self.number(365)?)
        };
        let time_s = if self.takes('/') {
            self.time(167)?
        } else {
            2 * 3600
        };
        Some(Turn { day, time_s })
    }
}
