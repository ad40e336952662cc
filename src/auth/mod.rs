//! May this client do this? The answers, from tables parsed out of Mosquitto's own files.
//!
//! [`Passwords`] says who signs in, [`Acl`] says who may read and write which topic. Both are
//! parsed from bytes that somebody else has read, never change afterwards, and may be shared
//! between threads: a reload parses new tables and swaps them only when all is well.
//!
//! Two faults are told apart. An [`Error`] means that the table cannot be used, so that a reload
//! keeps the old one. A [`Problem`] is a line that was left out or looks like a mistake; it is
//! worth a warning, the rest of the table holds. Nothing here ever falls back to "allowed".
//!
//! Bounds: memory is proportional to the files; at most [`PROBLEMS_MAX`] problems are kept per
//! file; the work behind one password is bounded where a secret is parsed (see [`hash`]); asking
//! the access list takes no heap memory.

mod acl;
mod filter;
pub mod hash;
mod passwords;
mod review;

pub use acl::{Access, Acl, Decision, UserRules};
pub use passwords::{Passwords, STRING_MAX, SignIn, check_username};
pub use review::Remark;

use std::fmt;

/// Problems that are kept per file; how many more there were is told in one last entry.
pub const PROBLEMS_MAX: usize = 50;

/// A line that was left out, or that looks like a mistake: worth a warning, not an end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The file as it was named to us.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong and what was expected; text from the file is escaped in it.
    pub what: String,
}

/// A fault that makes a whole file unusable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// The file as it was named to us.
    pub file: String,
    /// The line, counted from 1.
    pub line: u32,
    /// What is wrong and what was expected; text from the file is escaped in it.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.what)
    }
}

impl std::error::Error for Error {}

/// Collects the problems of one file, bounded by [`PROBLEMS_MAX`].
struct Problems<'a> {
    file: &'a str,
    kept: Vec<Problem>,
    more: usize,
    last_line: u32,
}

impl<'a> Problems<'a> {
    fn new(file: &'a str) -> Self {
        Problems {
            file,
            kept: Vec::new(),
            more: 0,
            last_line: 0,
        }
    }

    fn add(&mut self, line: u32, what: impl Into<String>) {
        if self.kept.len() == PROBLEMS_MAX {
            self.more += 1;
            self.last_line = line;
            return;
        }
        self.kept.push(Problem {
            file: self.file.to_owned(),
            line,
            what: what.into(),
        });
    }

    fn finish(mut self) -> Vec<Problem> {
        if self.more > 0 {
            self.kept.push(Problem {
                file: self.file.to_owned(),
                line: self.last_line,
                what: format!("and {} more problems up to this line", self.more),
            });
        }
        self.kept
    }
}

/// The lines of a file with their numbers, without line ends (LF or CRLF) and byte order mark.
fn lines(text: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    text.strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(text)
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line))
        .zip(1_u32..)
        .map(|(line, number)| (number, line))
}

/// Text from a file or a client, quoted, escaped and cut for a message to people.
fn quoted(text: &[u8]) -> String {
    const SHOWN_MAX: usize = 64;
    let lossy = String::from_utf8_lossy(&text[..text.len().min(4 * SHOWN_MAX)]);
    let mut shown: String = lossy.chars().take(SHOWN_MAX).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("'{}'", shown.escape_debug())
}

/// The word of `known` that `word` was probably meant to be, as the end of a message.
fn suggestion(word: &[u8], known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|candidate| (distance(word, candidate.as_bytes()), candidate))
        .min()
        .filter(|(distance, _)| *distance <= 2);
    match near {
        Some((_, candidate)) => format!("; did you mean '{candidate}'?"),
        None => String::new(),
    }
}

/// How many letters must be changed, added or left out; case does not count.
fn distance(word: &[u8], known: &[u8]) -> usize {
    if word.len() > known.len() + 2 {
        return usize::MAX;
    }
    // One row of the usual table at a time: row[i] is the distance to the first i letters.
    let mut row: Vec<usize> = (0..=known.len()).collect();
    for (done, letter) in word.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = done + 1;
        for (at, other) in known.iter().enumerate() {
            let replaced = diagonal + usize::from(!letter.eq_ignore_ascii_case(other));
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[known.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_numbered_whatever_ends_them() {
        let all: Vec<_> = lines(b"\xef\xbb\xbfa\r\n\nb").collect();
        assert_eq!(all, [(1, &b"a"[..]), (2, b""), (3, b"b")]);
    }

    #[test]
    fn text_of_strangers_cannot_break_a_message() {
        assert_eq!(quoted(b"a\nb"), "'a\\nb'");
        assert_eq!(quoted("a\u{2028}b".as_bytes()), "'a\\u{2028}b'");
        assert_eq!(quoted(b"\xff"), "'\u{fffd}'");
        let long = quoted(&vec![b'x'; 100_000]);
        assert_eq!(long.chars().count(), 67);
        assert!(long.ends_with("…'"));
    }

    #[test]
    fn near_misses_are_suggested_and_far_ones_are_not() {
        let known = ["topic", "user", "pattern"];
        assert_eq!(suggestion(b"topics", &known), "; did you mean 'topic'?");
        assert_eq!(suggestion(b"Patern", &known), "; did you mean 'pattern'?");
        assert_eq!(suggestion(b"listener", &known), "");
        assert_eq!(suggestion(&vec![b'u'; 70_000], &known), "");
    }

    #[test]
    fn a_file_of_nothing_but_faults_keeps_few_of_them() {
        let mut problems = Problems::new("f");
        for line in 1..=1000 {
            problems.add(line, "bad");
        }
        let kept = problems.finish();
        assert_eq!(kept.len(), PROBLEMS_MAX + 1);
        assert_eq!(
            kept[PROBLEMS_MAX].to_string(),
            "f:1000: and 950 more problems up to this line"
        );
    }
}
