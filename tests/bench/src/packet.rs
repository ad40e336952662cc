//! The few packets of MQTT 3.1.1 that a load needs: made once and then only patched, and split from
//! a stream without a copy.
//!
//! Each measured payload begins with who published it (four bytes) and its number (eight bytes),
//! counted from 0 for each publisher; the rest is filler.

/// Bytes of a payload that say whose it is and which.
pub const STAMP_BYTES: usize = 12;
/// Digits of a topic's number, in loads that publish to many topics.
pub const DIGITS: usize = 7;

/// A whole packet in the buffer it was read into.
pub struct Packet<'a> {
    /// Type and flags.
    pub first: u8,
    /// What follows the Remaining Length.
    pub body: &'a [u8],
}

/// A PUBLISH that came in.
pub struct Publish<'a> {
    pub qos: u8,
    pub dup: bool,
    pub topic: &'a [u8],
    /// 0 at QoS 0.
    pub packet_id: u16,
    pub payload: &'a [u8],
}

/// A PUBLISH made once, of which only number, packet id and topic digits change.
pub struct Template {
    bytes: Vec<u8>,
    /// Where the digits of the topic begin, if it has some.
    digits: Option<usize>,
    packet_id: Option<usize>,
    number: usize,
}

impl Template {
    /// `payload_bytes` is at least [`STAMP_BYTES`]; `#` in `topic` stands for digits.
    pub fn new(topic: &str, qos: u8, retain: bool, payload_bytes: usize, publisher: u32) -> Self {
        Self::with(topic, qos, retain, &[], payload_bytes, publisher)
    }

    /// A message of 64 bytes at QoS 1 in MQTT 5, which expires after so many seconds.
    pub fn expiring(topic: &str, retain: bool, expiry_s: u32) -> Self {
        let [a, b, c, d] = expiry_s.to_be_bytes();
        Self::with(topic, 1, retain, &[5, 2, a, b, c, d], 64, 0)
    }

    /// `properties` are encoded, with their length; empty before MQTT 5.
    fn with(
        topic: &str,
        qos: u8,
        retain: bool,
        properties: &[u8],
        payload_bytes: usize,
        publisher: u32,
    ) -> Self {
        let mut body = text(&topic.replace('#', &"0".repeat(DIGITS)));
        let packet_id = (qos > 0).then_some(body.len());
        body.extend_from_slice(&[0, 0][..if qos > 0 { 2 } else { 0 }]);
        body.extend_from_slice(properties);
        let stamp = body.len();
        body.extend_from_slice(&publisher.to_be_bytes());
        body.extend_from_slice(&[0; 8]);
        body.resize(stamp + payload_bytes, b'.');
        let bytes = packet(0x30 | qos << 1 | u8::from(retain), &body);
        let header = bytes.len() - body.len();
        Self {
            digits: topic.find('#').map(|at| header + 2 + at),
            packet_id: packet_id.map(|at| at + header),
            number: header + stamp + 4,
            bytes,
        }
    }

    /// Appends the message with this number; its packet id follows from the number.
    pub fn put(&mut self, number: u64, topic: Option<u64>, out: &mut Vec<u8>) {
        if let (Some(at), Some(mut topic)) = (self.digits, topic) {
            for byte in self.bytes[at..at + DIGITS].iter_mut().rev() {
                *byte = b'0' + (topic % 10) as u8;
                topic /= 10;
            }
        }
        if let Some(at) = self.packet_id {
            self.bytes[at..at + 2].copy_from_slice(&packet_id_of(number).to_be_bytes());
        }
        self.bytes[self.number..self.number + 8].copy_from_slice(&number.to_be_bytes());
        out.extend_from_slice(&self.bytes);
    }

    /// Topic and payload of one message, in bytes.
    pub fn content_bytes(&self) -> u64 {
        let topic =
            u16::from_be_bytes([self.bytes[self.topic_at()], self.bytes[self.topic_at() + 1]]);
        (self.bytes.len() - (self.number - 4)) as u64 + u64::from(topic)
    }

    fn topic_at(&self) -> usize {
        1 + self.bytes[1..].iter().take_while(|b| **b >= 128).count() + 1
    }
}

/// The packet id under which a publisher sends its message with this number.
pub fn packet_id_of(number: u64) -> u16 {
    (number % 65535) as u16 + 1
}

/// Takes the first packet off `bytes`, with its length; `None` if it is not complete.
pub fn split(bytes: &[u8]) -> Result<Option<(Packet<'_>, usize)>, String> {
    let mut remaining = 0;
    for place in 0..4 {
        let Some(&byte) = bytes.get(1 + place) else {
            return Ok(None);
        };
        remaining |= usize::from(byte & 127) << (7 * place);
        if byte < 128 {
            let end = 2 + place + remaining;
            return Ok(bytes.get(2 + place..end).map(|body| {
                let first = bytes[0];
                (Packet { first, body }, end)
            }));
        }
    }
    Err("the broker sent a Remaining Length of more than four bytes".into())
}

impl<'a> Packet<'a> {
    /// The packet type, 1 to 14.
    pub fn kind(&self) -> u8 {
        self.first >> 4
    }

    /// The packet id of an acknowledgement.
    pub fn packet_id(&self) -> Result<u16, String> {
        match self.body {
            [high, low, ..] => Ok(u16::from_be_bytes([*high, *low])),
            _ => Err("the broker sent an acknowledgement without packet id".into()),
        }
    }

    /// The fields of a PUBLISH.
    pub fn publish(&self) -> Result<Publish<'a>, String> {
        let short = || "the broker sent a PUBLISH that ends within a field".to_string();
        let qos = self.first >> 1 & 3;
        let topic_bytes = usize::from(self.packet_id().map_err(|_| short())?);
        let (topic, rest) = self.body[2..]
            .split_at_checked(topic_bytes)
            .ok_or_else(short)?;
        let (id, payload) = rest
            .split_at_checked(if qos > 0 { 2 } else { 0 })
            .ok_or_else(short)?;
        Ok(Publish {
            qos,
            dup: self.first & 8 != 0,
            topic,
            packet_id: id.iter().fold(0, |id, byte| id << 8 | u16::from(*byte)),
            payload,
        })
    }
}

impl Publish<'_> {
    /// Who published this, and its number.
    pub fn stamp(&self) -> Result<(usize, u64), String> {
        let Some((stamp, _)) = self.payload.split_first_chunk::<STAMP_BYTES>() else {
            let topic = String::from_utf8_lossy(self.topic);
            return Err(format!("a payload without stamp on {topic}"));
        };
        let fold = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
        Ok((fold(&stamp[..4]) as usize, fold(&stamp[4..])))
    }
}

/// CONNECT without keep alive.
pub fn connect(client_id: &str, clean: bool) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend_from_slice(&[4, u8::from(clean) << 1, 0, 0]);
    body.extend(text(client_id));
    packet(0x10, &body)
}

/// CONNECT of MQTT 5, without keep alive and properties.
pub fn connect_5(client_id: &str) -> Vec<u8> {
    let mut body = text("MQTT");
    body.extend_from_slice(&[5, 2, 0, 0, 0]);
    body.extend(text(client_id));
    packet(0x10, &body)
}

/// SUBSCRIBE to one filter, with packet id 1.
pub fn subscribe(filter: &str, qos: u8) -> Vec<u8> {
    subscribe_all([filter], qos)
}

/// SUBSCRIBE to several filters, with packet id 1.
pub fn subscribe_all<T: AsRef<str>>(filters: impl IntoIterator<Item = T>, qos: u8) -> Vec<u8> {
    let mut body = vec![0, 1];
    for filter in filters {
        body.extend(text(filter.as_ref()));
        body.push(qos);
    }
    packet(0x82, &body)
}

/// An acknowledgement: PUBACK, PUBREC, PUBREL (flags and all) or PUBCOMP.
pub fn acknowledge(first: u8, packet_id: u16, out: &mut Vec<u8>) {
    let [high, low] = packet_id.to_be_bytes();
    out.extend_from_slice(&[first, 2, high, low]);
}

/// PINGREQ.
pub const PINGREQ: [u8; 2] = [0xC0, 0];

/// DISCONNECT.
pub const DISCONNECT: [u8; 2] = [0xE0, 0];

fn text(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u16).to_be_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut rest = body.len();
    while rest >= 128 {
        bytes.push(rest as u8 | 128);
        rest >>= 7;
    }
    bytes.push(rest as u8);
    bytes.extend_from_slice(body);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_yields_what_split_and_publish_read() {
        let mut template = Template::new("a/#/b", 1, false, 300, 7);
        let mut bytes = Vec::new();
        template.put(65_535, Some(1_234_567), &mut bytes);
        let (packet, len) = split(&bytes).unwrap().unwrap();
        assert_eq!(len, bytes.len());
        assert!(split(&bytes[..len - 1]).unwrap().is_none());
        let publish = packet.publish().unwrap();
        assert_eq!(publish.topic, b"a/1234567/b");
        assert_eq!((publish.qos, publish.dup, publish.packet_id), (1, false, 1));
        assert_eq!(publish.payload.len(), 300);
        assert_eq!(publish.stamp().unwrap(), (7, 65_535));
        assert_eq!(template.content_bytes(), 300 + 11);
    }
}
