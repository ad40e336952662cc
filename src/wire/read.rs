//! A cursor over the body of one packet.
//!
//! Every read is bounded by the slice; running out of bytes is a Malformed Packet, never a panic.

use super::{Malformed, ReasonCode};

/// Reads the fields of a packet, front to back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

const SHORT: Malformed = Malformed::packet("the packet ends too early");

impl<'a> Reader<'a> {
    /// Reads from `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// What was not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether everything was read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Requires that everything was read.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(Malformed::packet(
            "bytes behind the end of the packet's fields",
        ))
    }

    /// The next `len` bytes.
    #[inline]
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        if len > self.rest.len() {
            return Err(SHORT);
        }
        let (taken, rest) = self.rest.split_at(len);
        self.rest = rest;
        Ok(taken)
    }

    /// One byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, Malformed> {
        let (&byte, rest) = self.rest.split_first().ok_or(SHORT)?;
        self.rest = rest;
        Ok(byte)
    }

    /// A Two Byte Integer.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, Malformed> {
        let (&bytes, rest) = self.rest.split_first_chunk::<2>().ok_or(SHORT)?;
        self.rest = rest;
        Ok(u16::from_be_bytes(bytes))
    }

    /// A Four Byte Integer.
    pub fn u32(&mut self) -> Result<u32, Malformed> {
        let (&bytes, rest) = self.rest.split_first_chunk::<4>().ok_or(SHORT)?;
        self.rest = rest;
        Ok(u32::from_be_bytes(bytes))
    }

    /// A Variable Byte Integer in as few bytes as possible [MQTT-1.5.5-1].
    pub fn var_int(&mut self) -> Result<usize, Malformed> {
        let mut value = 0;
        for (i, &byte) in self.rest.iter().take(4).enumerate() {
            value |= usize::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                if byte == 0 && i > 0 {
                    return Err(Malformed::packet(
                        "a variable byte integer longer than needed",
                    ));
                }
                self.rest = &self.rest[i + 1..];
                return Ok(value);
            }
        }
        match self.rest.len() {
            0..=3 => Err(SHORT),
            _ => Err(Malformed::packet(
                "a variable byte integer of more than four bytes",
            )),
        }
    }

    /// Binary Data: two length bytes and that many bytes.
    #[inline]
    pub fn binary(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A UTF-8 Encoded String without U+0000 [MQTT-1.5.4-1] [MQTT-1.5.4-2].
    ///
    /// A byte-order mark is a character like others [MQTT-1.5.4-3].
    pub fn string(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(bytes)
            .map_err(|_| Malformed::packet("a string is not well-formed UTF-8"))?;
        if memchr::memchr(0, bytes).is_some() {
            return Err(Malformed::packet("a string holds U+0000"));
        }
        Ok(text)
    }

    /// A string that names something (a client, a user, a topic): besides U+0000, control
    /// characters and non-characters are refused too, as the specification allows and Mosquitto
    /// does.
    #[inline]
    pub fn name(&mut self) -> Result<&'a str, Malformed> {
        let text = self.string()?;
        if text.bytes().all(|b| (0x20..0x7f).contains(&b)) || text.chars().all(is_plain) {
            return Ok(text);
        }
        Err(Malformed::packet(
            "a name holds a control character or a non-character",
        ))
    }

    /// A Topic Name: a name without wildcards [MQTT-3.3.2-2].
    #[inline]
    pub fn topic_name(&mut self) -> Result<&'a [u8], Malformed> {
        let mut reader = *self;
        let bytes = reader.binary()?;
        if is_ascii_topic(bytes) {
            *self = reader;
            return Ok(bytes);
        }
        let bytes = self.name()?.as_bytes();
        if memchr::memchr2(b'+', b'#', bytes).is_some() {
            return Err(Malformed {
                reason: ReasonCode::TOPIC_NAME_INVALID,
                what: "a wildcard in a topic name",
            });
        }
        Ok(bytes)
    }

    /// A non-zero Packet Identifier [MQTT-2.2.1-3].
    #[inline]
    pub fn packet_id(&mut self) -> Result<u16, Malformed> {
        match self.u16()? {
            0 => Err(Malformed::protocol("a packet identifier of zero")),
            id => Ok(id),
        }
    }
}

/// Whether a Topic Name has only bytes that need no closer look.
#[inline]
pub(super) fn is_ascii_topic(name: &[u8]) -> bool {
    name.iter().fold(0, |all, &b| all | CLASS[usize::from(b)]) == 0
}

/// 0 for the bytes that need no closer look in a Topic Name: ASCII but controls and wildcards.
static CLASS: [u8; 256] = {
    let mut class = [1; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        class[byte] = (byte == b'+' as usize || byte == b'#' as usize) as u8;
        byte += 1;
    }
    class
};

/// Whether these bytes are a Topic Name as [`Reader::topic_name`] takes it, the empty one included.
pub fn is_topic_name(bytes: &[u8]) -> bool {
    let is_good = |c| is_plain(c) && !matches!(c, '+' | '#');
    is_ascii_topic(bytes) || std::str::from_utf8(bytes).is_ok_and(|text| text.chars().all(is_good))
}

/// Whether a string is one that [`Reader::name`] takes, its length apart.
pub fn is_name(text: &str) -> bool {
    text.chars().all(is_plain)
}

fn is_plain(c: char) -> bool {
    let code = u32::from(c);
    !c.is_control() && !(0xfdd0..=0xfdef).contains(&code) && code & 0xfffe != 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_checked_and_never_changed() {
        let read = |bytes: &'static [u8]| Reader::new(bytes).string();
        assert_eq!(read(b"\0\x02hi"), Ok("hi"));
        assert_eq!(read(b"\0\x03\xef\xbb\xbf"), Ok("\u{feff}"));
        assert!(read(b"\0\x03\xed\xa0\x80").is_err(), "a surrogate");
        assert!(read(b"\0\x03a\0b").is_err(), "U+0000");
        assert!(read(b"\0\x03ab").is_err(), "too short");
        assert!(
            Reader::new(b"\0\x02a\n").name().is_err(),
            "a control character in a name"
        );
        assert!(
            Reader::new(b"\0\x03\xef\xbf\xbf").name().is_err(),
            "a non-character in a name"
        );
        assert_eq!(
            Reader::new("\0\x04été".as_bytes()).take(2),
            Ok(&b"\0\x04"[..])
        );
    }

    #[test]
    fn variable_byte_integers_have_four_bytes_at_most_and_none_too_many() {
        assert_eq!(
            Reader::new(&[0xff, 0xff, 0xff, 0x7f]).var_int(),
            Ok(268_435_455)
        );
        assert!(Reader::new(&[0x80, 0x00]).var_int().is_err());
        assert!(
            Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x01])
                .var_int()
                .is_err()
        );
        assert_eq!(Reader::new(&[0x80]).var_int(), Err(SHORT));
    }
}
