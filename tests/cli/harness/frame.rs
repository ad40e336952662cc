//! MQTT control packets as raw bytes: cut out of a stream by their Remaining Length, nothing more.

/// Who sent it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum From {
    Client,
    Broker,
}

/// One control packet as it was on the wire.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub from: From,
    /// Which connection, counted from 0 in the order they were made.
    pub link: usize,
    pub bytes: Vec<u8>,
}

impl Frame {
    /// The first byte: type and flags.
    pub fn header(&self) -> u8 {
        self.bytes[0]
    }

    /// The packet type, 1 to 15.
    pub fn kind(&self) -> u8 {
        self.bytes[0] >> 4
    }

    /// What follows the fixed header; its length is the Remaining Length.
    pub fn body(&self) -> &[u8] {
        let (_, start) = remaining_length(&self.bytes).unwrap();
        &self.bytes[start..]
    }

    /// The Topic Name of a PUBLISH.
    pub fn topic(&self) -> String {
        let body = self.body();
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        String::from_utf8(body[2..2 + length].to_vec()).unwrap()
    }

    /// What follows the topic of an MQTT 3 PUBLISH: the packet id, when it has one, and payload.
    pub fn id_and_payload(&self) -> (Option<u16>, &[u8]) {
        let body = self.body();
        let length = usize::from(u16::from_be_bytes([body[0], body[1]]));
        let rest = &body[2 + length..];
        if self.header() & 0x06 == 0 {
            (None, rest)
        } else {
            (Some(u16::from_be_bytes([rest[0], rest[1]])), &rest[2..])
        }
    }
}

/// The Remaining Length and where the body starts; none while bytes are missing.
pub fn remaining_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (i, byte) in bytes.get(1..)?.iter().enumerate() {
        assert!(i < 4, "a Remaining Length of five bytes: {bytes:02x?}");
        length |= usize::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some((length, i + 2));
        }
    }
    None
}

/// Takes the first whole packet off a stream.
pub fn cut(stream: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (length, start) = remaining_length(stream)?;
    if stream.len() < start + length {
        return None;
    }
    Some(stream.drain(..start + length).collect())
}
