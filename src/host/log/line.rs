//! One event is one line: the time stamp, the escapes and the cut.
//!
//! Client ids, topics and user names come from strangers. A line end among them would forge a line
//! of its own, an escape sequence would talk to the terminal of whoever reads the log, a change of
//! direction would make a line read as another. So everything that does not print is written as an
//! escape (`\n`, `\u{202e}`), whoever said it, in this one place.

use std::fmt::{self, Write as _};

use crate::host::calendar::{self, Moment, Zone};

/// The most bytes of a line, without its line end; more are cut off.
pub const LINE_BYTES_MAX: usize = 1000;

/// Stands at the end of a line that was cut. Without it, whoever chooses a name of the right length
/// could make a line end as if it were another one.
const CUT: &str = "...";

/// What stands in front of a line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Timestamp {
    /// `log_timestamp false`: nothing.
    None,
    /// Seconds since 1970, a colon, a blank.
    #[default]
    Unix,
    /// `log_timestamp_format`: a strftime format, in local time, then a colon and a blank. What
    /// the format asks for and we do not know stays as it was written.
    Format(String),
}

impl Timestamp {
    /// Tells what is wrong with a strftime format, for a warning: it would be used all the same.
    pub fn check(format: &str) -> Result<(), String> {
        match calendar::unknown_conversion(format) {
            Some(unknown) => Err(format!("there is no such conversion: {unknown}")),
            None => Ok(()),
        }
    }
}

/// A line under construction; the buffer is used again for each.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// At most [`LINE_BYTES_MAX`] bytes, all of them printable, but for an indent.
    text: String,
    /// How many it may be at the moment.
    bytes_max: usize,
}

impl Line {
    /// Starts over with a time stamp and a message. One that says more of the line before begins
    /// with a tab, as in Mosquitto; that one stays.
    pub(super) fn set(&mut self, stamp: &str, message: &str) {
        if self.fill(stamp, message, LINE_BYTES_MAX).is_err() {
            // Full: the rest is what is to be cut off, and some more for the mark.
            let _ = self.fill(stamp, message, LINE_BYTES_MAX - CUT.len());
            self.text.push_str(CUT);
        }
    }

    fn fill(&mut self, stamp: &str, message: &str, bytes_max: usize) -> fmt::Result {
        self.bytes_max = bytes_max;
        self.text.clear();
        self.write_str(stamp)?;
        let (indent, message) = match message.strip_prefix('\t') {
            Some(rest) => ("\t", rest),
            None => ("", message),
        };
        self.push(indent)?;
        self.write_str(message)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The line with its line end; the next [`set`](Self::set) takes that away again.
    pub(super) fn ended(&mut self) -> &str {
        self.text.push('\n');
        &self.text
    }

    fn push(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.bytes_max {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// Text that is printed elsewhere, with the escapes of the log and without its cut.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_printable(c) {
            true => out.push(c),
            false => out.push_str(Escape::of(c).text()),
        }
    }
    out
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while !rest.is_empty() {
            let plain = rest.find(|c: char| !is_printable(c)).unwrap_or(rest.len());
            let (good, after) = rest.split_at(plain);
            let room = self.bytes_max - self.text.len();
            self.push(prefix(good, room))?;
            if good.len() > room {
                return Err(fmt::Error);
            }
            let mut chars = after.chars();
            if let Some(c) = chars.next() {
                // An escape is written whole or not at all.
                self.push(Escape::of(c).text())?;
            }
            rest = chars.as_str();
        }
        Ok(())
    }
}

/// Room for the longest escape, `\u{10ffff}`, without an allocation.
#[derive(Default)]
struct Escape {
    bytes: [u8; 10],
    len: usize,
}

impl Escape {
    fn of(c: char) -> Escape {
        let mut escape = Escape::default();
        // There is room for all of them.
        let _ = match c {
            '\n' => escape.write_str("\\n"),
            '\r' => escape.write_str("\\r"),
            '\t' => escape.write_str("\\t"),
            _ => write!(escape, "\\u{{{:x}}}", u32::from(c)),
        };
        escape
    }

    fn text(&self) -> &str {
        // Only whole strings were copied in, so this never is the default.
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl fmt::Write for Escape {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        let room = self.bytes.get_mut(self.len..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// The longest start of a text with at most so many bytes.
pub(super) fn prefix(text: &str, bytes_max: usize) -> &str {
    let mut end = bytes_max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Whether a character shows what it is: no control character, no line or paragraph separator,
/// nothing invisible, nothing that changes the direction of its neighbours.
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let hidden = matches!(c,
        '\u{80}'..='\u{9f}'
        | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{10ffff}');
    let noncharacter = matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe;
    !hidden && !noncharacter
}

/// The time stamp of the present second, made once for all lines of that second.
#[derive(Debug)]
pub(super) struct Stamp {
    format: Timestamp,
    /// What separates it from what follows.
    separator: &'static str,
    /// The second that `text` stands for; none before the first.
    second: Option<i64>,
    text: String,
    /// The machine's zone, and when it was read.
    zone: Option<(i64, Zone)>,
}

/// How old the zone may be: somebody may set another one.
const ZONE_AGE_S: std::ops::Range<i64> = 0..300;

impl Stamp {
    pub(super) fn new(format: Timestamp, separator: &'static str) -> Self {
        Self {
            format,
            separator,
            second: None,
            text: String::new(),
            zone: None,
        }
    }

    /// The text for a second since 1970, with what separates it from the message.
    pub(super) fn at(&mut self, now_s: i64) -> &str {
        if self.second != Some(now_s) {
            self.second = Some(now_s);
            self.text.clear();
            // Writing to a String does not fail, and half a stamp would do.
            let _ = self.render(now_s);
        }
        &self.text
    }

    fn render(&mut self, now_s: i64) -> fmt::Result {
        match &self.format {
            Timestamp::None => Ok(()),
            Timestamp::Unix => write!(self.text, "{now_s}{}", self.separator),
            Timestamp::Format(format) => {
                // A format such as %255Y%255Y... may ask for more than a line holds.
                let mut start = Start(&mut self.text);
                let _ = render_local(now_s, format, &mut self.zone, &mut start);
                self.text.push_str(self.separator);
                Ok(())
            }
        }
    }
}

/// Writes a second since 1970 in local time.
fn render_local(
    now_s: i64,
    format: &str,
    zone: &mut Option<(i64, Zone)>,
    out: &mut Start<'_>,
) -> fmt::Result {
    let known = zone.take();
    let known = known.filter(|(read_s, _)| ZONE_AGE_S.contains(&now_s.saturating_sub(*read_s)));
    let (_, zone) = zone.insert(known.unwrap_or_else(|| (now_s, Zone::system())));
    match Moment::new(now_s, 0, zone) {
        Some(moment) => moment.format(format, out),
        None => Err(fmt::Error),
    }
}

/// A text that takes no more than a line's worth.
struct Start<'a>(&'a mut String);

impl fmt::Write for Start<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > LINE_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}
