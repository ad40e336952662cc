//! Bytes and times of strangers, safe to print.

use std::fmt::{self, Display, Formatter, Write as _};

use crate::host::calendar::{Moment, Zone};
use crate::store::journal::record::Clock;

/// What is shown of a string.
const TEXT_MAX: usize = 1024;
/// What is shown of a payload.
const PREVIEW_MAX: usize = 32;

/// Bytes between quotes, with everything escaped that a terminal or a reader could mistake.
pub(super) struct Quoted<'a> {
    bytes: &'a [u8],
    max: usize,
}

/// A client identifier, a topic, a filter: whole, unless it is very long.
pub(super) fn quoted(text: &(impl AsRef<[u8]> + ?Sized)) -> Quoted<'_> {
    Quoted {
        bytes: text.as_ref(),
        max: TEXT_MAX,
    }
}

/// The first bytes of a payload.
pub(super) fn preview(payload: &[u8]) -> Quoted<'_> {
    Quoted {
        bytes: payload,
        max: PREVIEW_MAX,
    }
}

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let is_cut = self.bytes.len() > self.max;
        let mut shown = &self.bytes[..self.bytes.len().min(self.max)];
        if is_cut {
            // A letter that the cut went through is left out.
            let last = shown.iter().rposition(|byte| byte & 0xc0 != 0x80);
            let start = last.unwrap_or(0);
            if std::str::from_utf8(&shown[start..]).is_err() && start + 4 > shown.len() {
                shown = &shown[..start];
            }
        }
        f.write_char('"')?;
        for chunk in shown.utf8_chunks() {
            for letter in chunk.valid().chars() {
                match letter {
                    '\'' => f.write_char('\'')?,
                    _ => write!(f, "{}", letter.escape_debug())?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_char('"')?;
        match is_cut {
            true => f.write_str("..."),
            false => Ok(()),
        }
    }
}

/// A time on the log's clock, with the calendar's where that is known.
pub(super) struct LogTime {
    ms: u64,
    clock: Option<Clock>,
}

/// A time on the log's clock; `clock` is what the clocks said near it.
pub(super) fn log_time(ms: u64, clock: Option<Clock>) -> LogTime {
    LogTime { ms, clock }
}

impl Display for LogTime {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.ms)?;
        let wall_ms = self.clock.and_then(|clock| {
            let since = i128::from(self.ms) - i128::from(clock.log_ms);
            u64::try_from(i128::from(clock.wall_ms) + since).ok()
        });
        match wall_ms.and_then(calendar) {
            Some(time) => write!(f, " ({time})"),
            None => Ok(()),
        }
    }
}

/// The calendar's time, UTC; `None` if no calendar has it.
pub(super) fn calendar(wall_ms: u64) -> Option<String> {
    let ms = i64::try_from(wall_ms).ok()?;
    let time = Moment::new(ms.div_euclid(1000), 0, &Zone::utc())?;
    Some(format!(
        "{}.{:03}Z",
        time.text("%FT%T"),
        ms.rem_euclid(1000)
    ))
}
