//! Messages on standard output: as the payload, with the topic, in a format, in place.
//!
//! Each message is put together first and written in one go, so that lines of several processes
//! mix as little as possible, and flushed, so that whoever reads a pipe sees it at once.

use std::collections::HashMap;
use std::io::{self, Write};

use super::exit;
use super::format::{Unprintable, tame};
use super::settings::Settings;
use crate::host::calendar::{Moment, Zone};
use crate::wire::Publish;

/// Topics that get a line of their own with `--watch`; more share the last line.
const WATCHED_MAX: usize = 4096;
/// The line of the first topic; the one above names the broker.
const FIRST_LINE: usize = 2;

/// Prints messages as the settings ask.
pub struct Printer<'a> {
    settings: &'a Settings,
    buffer: Vec<u8>,
    watched: HashMap<Box<[u8]>, usize>,
    /// Known once a format asked for the time.
    zone: Option<Zone>,
}

impl<'a> Printer<'a> {
    /// A printer; with `--watch` it clears the screen.
    pub fn new(settings: &'a Settings) -> io::Result<Printer<'a>> {
        if settings.watch && !settings.message_rate {
            let mut out = io::stdout();
            let broker = match &settings.unix {
                Some(path) => path.display().to_string(),
                None => settings.host.clone(),
            };
            writeln!(out, "\x1b[2J\x1b[1;1HBroker: {broker}")?;
            out.flush()?;
        }
        Ok(Printer {
            settings,
            buffer: Vec::new(),
            watched: HashMap::new(),
            zone: None,
        })
    }

    /// Prints a message. An error means that standard output is gone.
    pub fn print(&mut self, message: &Publish<'_>) -> io::Result<()> {
        if !self.is_chosen()? {
            return Ok(());
        }
        self.buffer.clear();
        if self.settings.watch {
            self.put_in_place(message);
        } else {
            self.put_message(message);
            if self.settings.newline && !self.is_nothing(message) {
                self.buffer.push(b'\n');
            }
        }
        let mut out = io::stdout().lock();
        out.write_all(&self.buffer)?;
        out.flush()
    }

    fn put_message(&mut self, message: &Publish<'_>) {
        let settings = self.settings;
        let start = self.buffer.len();
        if let Some(format) = &settings.format {
            let zone = self.zone.get_or_insert_with(Zone::system);
            let now = Moment::now(zone);
            let result = format.render(
                message,
                &now,
                settings.pretty,
                settings.watch,
                &mut self.buffer,
            );
            match result {
                Err(what) if !settings.quiet => complain(what, message),
                _ => {}
            }
        } else if settings.verbose {
            self.buffer.extend_from_slice(message.topic);
            self.buffer.push(b' ');
            match message.payload {
                // Without a line end nothing at all is printed, as ever in Mosquitto.
                b"" if !settings.newline => self.buffer.truncate(start),
                b"" => self.buffer.extend_from_slice(b"(null)"),
                payload => self.buffer.extend_from_slice(payload),
            }
        } else {
            self.buffer.extend_from_slice(message.payload);
        }
    }

    /// Whether not even a line end is printed.
    fn is_nothing(&self, message: &Publish<'_>) -> bool {
        let bare = self.settings.format.is_none() && !self.settings.verbose;
        bare && message.payload.is_empty()
    }

    /// `--random-filter`
    fn is_chosen(&self) -> io::Result<bool> {
        let ppm = self.settings.random_filter_ppm;
        if ppm >= 1_000_000 {
            return Ok(true);
        }
        let random = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(u64::from(random) * 1_000_000 < ppm << 32)
    }

    /// `--watch`: writes the message over what stood in the line of its topic, and keeps to that
    /// line. What is too long for the screen is cut off, and the screen never scrolls: topics that
    /// it has no line for share its last one. Nothing in a message moves the cursor.
    fn put_in_place(&mut self, message: &Publish<'_>) {
        let line = self.line_of(message.topic);
        // What stood there may have been longer.
        let _ = write!(self.buffer, "\x1b[{line};1H\x1b[K\x1b[?7l");
        let start = self.buffer.len();
        self.put_message(message);
        if self.settings.format.is_none() {
            tame(&mut self.buffer[start..]);
        }
        for byte in &mut self.buffer[start..] {
            if matches!(byte, b'\n' | b'\r' | 0x0b | 0x0c) {
                *byte = b' ';
            }
        }
        let below = FIRST_LINE + self.watched.len();
        let _ = write!(self.buffer, "\x1b[?7h\x1b[{below};1H");
    }

    fn line_of(&mut self, topic: &[u8]) -> usize {
        let known = self.watched.len();
        match self.watched.get(topic) {
            Some(&line) => line,
            None if known == WATCHED_MAX => FIRST_LINE + known - 1,
            None => {
                self.watched.insert(topic.into(), FIRST_LINE + known);
                FIRST_LINE + known
            }
        }
    }
}

fn complain(what: Unprintable, message: &Publish<'_>) {
    let topic = String::from_utf8_lossy(message.topic);
    exit::complain(&match what {
        Unprintable::Json => format!("Error: Message payload is not valid JSON on topic {topic}."),
        Unprintable::Number => {
            format!("Error: Message payload is not a number of that size on topic {topic}.")
        }
    });
}
