//! What the room tells its caller: the error that ends a load, and the lines to log after it.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a configuration cannot be used: exit code 3 at the start, no change at a reload.
///
/// Reads `FILE:LINE: directive: what is wrong and what is expected`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The file, as it was named; `command line` for a bad port of `-p`.
    pub file: PathBuf,
    /// The line, counted from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// The directive as it is written there; empty when the file as a whole is meant.
    pub directive: String,
    /// What is wrong and what is expected.
    pub what: String,
}

impl Error {
    /// The error of a file that cannot be read at all.
    pub(super) fn of_file(file: &Path, what: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            directive: String::new(),
            what: what.into(),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", name_of(&self.file))?;
        if self.line > 0 {
            write!(f, "{}:", self.line)?;
        }
        if !self.directive.is_empty() {
            write!(f, " {}:", self.directive)?;
        }
        write!(f, " {}", self.what)
    }
}

impl std::error::Error for Error {}

/// How much a [`Message`] matters, in Mosquitto's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Something probably does not do what its author meant.
    Warning,
    /// Something that the owner should know.
    Notice,
    /// Something that may be of interest.
    Information,
}

/// A line for the log, collected while reading: the log itself is set up from the result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// One line without an end; what comes from the file is escaped.
    pub text: String,
    /// What to do about it; empty if the text says so, or nothing is to be done.
    pub mend: &'static str,
}

impl Message {
    /// Hands the message to the log.
    pub fn log(&self) {
        match self.level {
            Level::Warning => log::warn!("{}", self.text),
            Level::Notice => log::info!(target: "notice", "{}", self.text),
            Level::Information => log::info!("{}", self.text),
        }
    }
}

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) file: Arc<Path>,
    pub(super) line: u32,
}

impl Place {
    /// An error of `directive` at this place.
    pub(super) fn error(&self, directive: &str, what: impl Into<String>) -> Error {
        Error {
            file: self.file.to_path_buf(),
            line: self.line,
            directive: directive.to_owned(),
            what: what.into(),
        }
    }

    /// A message about `directive` at this place.
    pub(super) fn message(
        &self,
        level: Level,
        directive: &str,
        what: &str,
        mend: &'static str,
    ) -> Message {
        Message {
            level,
            mend,
            text: format!("{self}: {directive}: {what}"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", name_of(&self.file), self.line)
    }
}

/// `bytes` in single quotes, fit for one line of a log: escaped, and cut when long.
pub(super) fn quote(bytes: &[u8]) -> String {
    format!("'{}'", plain(bytes))
}

/// As [`quote`], without the quotes.
pub(super) fn plain(bytes: &[u8]) -> String {
    const SHOWN: usize = 80;
    if bytes.len() <= SHOWN {
        return escape(bytes);
    }
    format!("{}...", escape(&bytes[..SHOWN]))
}

/// `bytes` on one line, whatever they hold: file names may hold line ends, too.
pub(super) fn escape(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for letter in String::from_utf8_lossy(bytes).chars() {
        match letter {
            '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.extend(letter.escape_default());
            }
            _ if letter.is_control() => out.extend(letter.escape_default()),
            _ => out.push(letter),
        }
    }
    out
}

fn name_of(file: &Path) -> String {
    escape(file.as_os_str().as_encoded_bytes())
}
