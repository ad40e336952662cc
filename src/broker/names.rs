//! What clients call themselves and their topics, in log lines that tools ban addresses by.
//!
//! A line about a refusal has the address in brackets. So whatever a client chose has no brackets
//! there, nor where a line begins with it and could be made to look like such a line. (What does
//! not print is the log's own business: it escapes that in all lines.)

use std::fmt::{self, Write as _};

/// The most bytes that a name takes beside an address, so that a line has room for two and more.
const NAME_BYTES_MAX: usize = 320;

/// A name for a log line with an address: tools ban whose stands there in brackets. So there are no
/// others, and a name is never so long that it would push the address out of the line.
pub(super) fn beside_address(name: &str) -> String {
    let mut room = NAME_BYTES_MAX;
    let is_beyond = |&(_, c): &(usize, char)| {
        let bytes = match c {
            '[' | ']' => 4,
            ' '..='~' => 1,
            // Perhaps an escape in the log, of which this is the longest.
            _ => "\\u{10ffff}".len(),
        };
        let left = room.checked_sub(bytes);
        room = left.unwrap_or_default();
        left.is_none()
    };
    match name.char_indices().find(is_beyond) {
        Some((end, _)) => format!("{}...", NoBrackets(&name[..end])),
        None => NoBrackets(name).to_string(),
    }
}

/// What a client said, for a log line that could be taken for another one with an address: where
/// the line begins with it, or has an address beside it.
pub(super) struct NoBrackets<'a>(pub(super) &'a str);

impl fmt::Display for NoBrackets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '[' => f.write_str("\\x5b")?,
                ']' => f.write_str("\\x5d")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::beside_address;

    #[test]
    fn a_name_cannot_bring_an_address_into_the_log() {
        let forged = "x [192.0.2.1:5] disconnected: not authorised.";
        assert!(!beside_address(forged).contains(['[', ']']));
        assert_eq!(beside_address("sensor-1"), "sensor-1");
    }

    #[test]
    fn a_name_leaves_room_for_the_address() {
        let long = beside_address(&"a[".repeat(600));
        assert!(long.len() < 330 && long.ends_with("..."), "{long}");
        let control = beside_address(&"\u{7f}".repeat(600));
        assert!(control.len() < 40 && control.ends_with("..."));
    }
}
