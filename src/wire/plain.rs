//! The short way for most packets: a PUBLISH without anything special.
//!
//! *Plain* is a whole PUBLISH of less than 16 KiB with a topic that does not begin with `$`,
//! without RETAIN and without properties. Coming in it has no DUP either. What is not plain is no
//! fault: the long way ([`Packet::decode`](super::Packet::decode), [`Publish::encode`]) takes it.

use super::read::is_ascii_topic;
use super::{Properties, Publish, Put, QoS, Version, Window};

/// The largest Remaining Length that two bytes can say, and one more.
const REMAINING_END: usize = 128 * 128;

/// Where the QoS is in the first byte.
const QOS_BITS: u8 = 6;

/// A plain PUBLISH from a client, borrowed from the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Plain<'a> {
    /// Quality of Service.
    pub qos: QoS,
    /// Packet Identifier; 0 at QoS 0.
    pub packet_id: u16,
    /// From the Topic Name to the end of the payload.
    text: &'a [u8],
    topic_len: u16,
    /// Bytes of `text` between Topic Name and payload.
    gap: u8,
    /// The whole packet. At QoS 0 it is what a client of the same version gets, too.
    pub packet: &'a [u8],
}

impl<'a> Plain<'a> {
    /// The packet at the front of `bytes`, if it is plain and has come whole.
    #[inline(always)]
    pub fn read(version: Version, bytes: &'a [u8]) -> Option<Plain<'a>> {
        let (header, remaining) = match *bytes {
            [_, low @ 0..=127, ..] => (2, usize::from(low)),
            [_, low, high @ 1..=127, ..] => (3, usize::from(low & 0x7f) | usize::from(high) << 7),
            _ => return None,
        };
        let qos = match bytes[0] {
            0x30 => QoS::AtMostOnce,
            0x32 => QoS::AtLeastOnce,
            0x34 => QoS::ExactlyOnce,
            _ => return None,
        };
        let total = header + remaining;
        let packet = bytes.get(..total)?;
        let body = packet.get(header..)?;
        let (&topic_len, text) = body.split_first_chunk::<2>()?;
        let topic_len = u16::from_be_bytes(topic_len);
        let (topic, rest) = text.split_at_checked(topic_len.into())?;
        let (mut packet_id, mut gap) = (0, 0);
        if qos != QoS::AtMostOnce {
            packet_id = u16::from_be_bytes(*rest.first_chunk::<2>()?);
            gap = 2;
            if packet_id == 0 {
                return None;
            }
        }
        if version == Version::V5 {
            // No properties: their length is 0.
            if *rest.get(usize::from(gap))? != 0 {
                return None;
            }
            gap += 1;
        }
        if matches!(topic.first(), None | Some(b'$')) {
            return None;
        }
        Some(Plain {
            qos,
            packet_id,
            text,
            topic_len,
            gap,
            packet,
        })
    }

    /// The packets at the front of `bytes`, as long as they are plain.
    pub fn each(version: Version, mut bytes: &'a [u8]) -> impl Iterator<Item = Plain<'a>> {
        std::iter::from_fn(move || {
            let plain = Plain::read(version, bytes)?;
            bytes = &bytes[plain.packet.len()..];
            Some(plain)
        })
    }

    /// Topic Name; its characters are not looked at yet: [`Plain::has_ascii_topic`].
    #[inline]
    pub fn topic(&self) -> &'a [u8] {
        &self.text[..usize::from(self.topic_len)]
    }

    /// The payload.
    #[inline]
    pub fn payload(&self) -> &'a [u8] {
        &self.text[usize::from(self.topic_len) + usize::from(self.gap)..]
    }

    /// Topic Name and payload, where nothing stands between them.
    #[inline]
    pub fn joined(&self) -> Option<&'a [u8]> {
        (self.gap == 0).then_some(self.text)
    }

    /// Whether the next packet, which begins `behind` it, seems to be a QoS 0 message to the same
    /// topic.
    #[inline]
    pub fn has_sequel(&self, behind: &[u8]) -> bool {
        let body = match *behind {
            [0x30, 0..=127, ..] => 2,
            [0x30, _, 0..=127, ..] => 3,
            _ => return false,
        };
        let end = body + 2 + usize::from(self.topic_len);
        behind
            .get(body..end)
            .and_then(<[u8]>::split_first_chunk)
            .is_some_and(|(len, topic)| {
                u16::from_be_bytes(*len) == self.topic_len && topic == self.topic()
            })
    }

    /// Whether the topic is a good name that needs no closer look; a good one may not be.
    #[inline]
    pub fn has_ascii_topic(&self) -> bool {
        is_ascii_topic(self.topic())
    }

    /// The same as the packet that the long way would have come to.
    pub fn publish(&self) -> Publish<'a> {
        Publish {
            qos: self.qos,
            topic: self.topic(),
            packet_id: self.packet_id,
            payload: self.payload(),
            properties: Properties::default(),
            ..Publish::default()
        }
    }
}

/// A PUBLISH to a client, without properties.
#[derive(Clone, Copy)]
pub struct PlainOut<'a> {
    /// The first byte: packet type, DUP, QoS and RETAIN.
    pub first: u8,
    /// Packet Identifier; used above QoS 0.
    pub packet_id: u16,
    /// Topic Name and payload, one behind the other.
    pub text: &'a [u8],
    /// Bytes of the Topic Name.
    pub topic_len: u16,
}

impl<'a> PlainOut<'a> {
    /// Puts everything before the payload; returns the length of the whole packet, nothing if that
    /// is more than `max`. For packets whose payload goes out from where it is.
    pub fn encode_head(&self, version: Version, max: usize, out: &mut impl Put) -> Option<usize> {
        let has_id = self.first & QOS_BITS != 0;
        let is_v5 = version == Version::V5;
        let remaining = 2 + self.text.len() + 2 * usize::from(has_id) + usize::from(is_v5);
        let total = 1 + super::var_int_len(remaining) + remaining;
        if total > max {
            return None;
        }
        out.put_u8(self.first);
        out.put_var_int(remaining);
        out.put_field(&self.text[..usize::from(self.topic_len)]);
        if has_id {
            out.put_u16(self.packet_id);
        }
        if is_v5 {
            out.put_u8(0);
        }
        Some(total)
    }

    /// The payload.
    pub fn payload(&self) -> &'a [u8] {
        &self.text[usize::from(self.topic_len)..]
    }

    /// Writes the packet, if it has at most `max` bytes and fits into the window as a whole;
    /// returns its length.
    #[inline(always)]
    pub fn encode(&self, version: Version, max: usize, window: &mut Window<'_>) -> Option<usize> {
        let is_qos0 = self.first & QOS_BITS == 0;
        // Between topic and payload: Packet Identifier, length of the properties.
        let between = if is_qos0 { 0 } else { 2 } + usize::from(version == Version::V5);
        let remaining = 2 + self.text.len() + between;
        let header = if remaining < 128 { 2 } else { 3 };
        let total = header + remaining;
        if remaining >= REMAINING_END || total > max {
            return None;
        }
        let room = window.whole(total)?;
        let (front, text) = room.split_at_mut(header + 2);
        front[0] = self.first;
        front[1] = remaining as u8;
        if header == 3 {
            front[1] = remaining as u8 | 0x80;
            front[2] = (remaining >> 7) as u8;
        }
        let topic_len = self.topic_len.to_be_bytes();
        front[header..].copy_from_slice(&topic_len);
        if between == 0 {
            text.copy_from_slice(self.text);
            return Some(total);
        }
        let (topic, payload) = self.text.split_at_checked(self.topic_len.into())?;
        let (into, rest) = text.split_at_mut(topic.len());
        into.copy_from_slice(topic);
        let (middle, into) = rest.split_at_mut(between);
        into.copy_from_slice(payload);
        if !is_qos0 {
            middle[..2].copy_from_slice(&self.packet_id.to_be_bytes());
        }
        if version == Version::V5 {
            middle[between - 1] = 0;
        }
        Some(total)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FixedHeader, PACKET_MAX, Packet, REMAINING_LENGTH_MAX};

    const VERSIONS: [Version; 3] = [Version::V31, Version::V311, Version::V5];

    /// Whatever is read the short way is what the long way makes of the same bytes.
    #[test]
    fn both_ways_lead_to_the_same_packet() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut plain_ones = 0;
        for round in 0..60_000 {
            let version = VERSIONS[round % 3];
            let qos = QoS::ALL[rng.usize(..3)];
            let payload = vec![b'p'; rng.usize(..300)];
            let publish = Publish {
                qos,
                packet_id: u16::from(qos != QoS::AtMostOnce) * rng.u16(1..),
                topic: [&b"a/b"[..], b"$x", b"a/\xc3\xa9", b""][rng.usize(..4).min(rng.usize(..4))],
                payload: &payload,
                ..Publish::default()
            };
            let mut bytes = Vec::new();
            publish.encode(version, &mut bytes);
            for _ in 0..rng.u8(..3) {
                let at = rng.usize(..bytes.len().min(12));
                bytes[at] = rng.u8(..);
            }
            bytes.truncate(bytes.len() - rng.usize(..bytes.len()) / 50);
            let Some(plain) = Plain::read(version, &bytes) else {
                continue;
            };
            if !plain.has_ascii_topic() {
                continue;
            }
            plain_ones += 1;
            let header = FixedHeader::read(&bytes).unwrap().unwrap();
            assert_eq!(header.total(), plain.packet.len(), "{bytes:02x?}");
            assert!(bytes.starts_with(plain.packet));
            let body = &plain.packet[usize::from(header.len)..];
            let long = Packet::decode(version, header, body, false);
            assert_eq!(long, Ok(Packet::Publish(plain.publish())), "{bytes:02x?}");
        }
        assert!(plain_ones > 5000, "{plain_ones}");
    }

    #[test]
    fn both_ways_out_lead_to_the_same_bytes() {
        let lengths = [0, 1, 100, 116, 117, 118, 119, 130, 16_300, 16_400];
        for version in VERSIONS {
            for (qos, len) in lengths
                .into_iter()
                .flat_map(|len| QoS::ALL.map(|qos| (qos, len)))
            {
                let text = [&b"a/topic"[..], &vec![7; len]].concat();
                let retain = len % 2 == 0;
                let out = PlainOut {
                    first: Publish::first_byte(qos != QoS::AtMostOnce, qos, retain),
                    packet_id: 0x1234,
                    text: &text,
                    topic_len: 7,
                };
                let publish = Publish {
                    dup: qos != QoS::AtMostOnce,
                    qos,
                    retain,
                    topic: &text[..7],
                    packet_id: out.packet_id,
                    payload: &text[7..],
                    ..Publish::default()
                };
                let mut known = Vec::new();
                publish.encode(version, &mut known);
                let mut buffer = vec![0; known.len() + 3];
                let mut window = Window::new(&mut buffer, 0);
                let short = out.encode(version, known.len(), &mut window);
                assert_eq!(short, (len < 16_350).then_some(known.len()));
                assert_eq!(window.len(), short.unwrap_or(0));
                assert!(short.is_none() || buffer.starts_with(&known));
                let mut window = Window::new(&mut buffer, 0);
                let max = known.len() - 1;
                assert_eq!(out.encode(version, max, &mut window), None);
                let mut cut = Window::new(&mut buffer[..max], 0);
                assert_eq!(out.encode(version, known.len(), &mut cut), None);
                let mut rest = Window::new(&mut buffer, 1);
                assert_eq!(out.encode(version, known.len(), &mut rest), None);
                let mut head = Vec::new();
                let total = out.encode_head(version, known.len(), &mut head);
                assert_eq!(total, Some(known.len()));
                assert_eq!([&head, out.payload()].concat(), known);
                assert_eq!(out.encode_head(version, max, &mut head), None);
            }
        }
    }

    /// The text is zeros that nobody reads: the system need not find memory for them.
    #[test]
    fn the_largest_packet_goes_out_and_one_that_is_larger_does_not() {
        let text = vec![0; REMAINING_LENGTH_MAX - 1];
        for version in VERSIONS {
            let most = REMAINING_LENGTH_MAX - 2 - usize::from(version == Version::V5);
            for len in [most, most + 1] {
                let publish = Publish {
                    topic: &text[..1],
                    payload: &text[1..len],
                    ..Publish::default()
                };
                let out = PlainOut {
                    first: 0x30,
                    packet_id: 0,
                    text: &text[..len],
                    topic_len: 1,
                };
                let max = PACKET_MAX as usize;
                let mut head = Vec::new();
                let total = out.encode_head(version, max, &mut head);
                assert_eq!(total, (len == most).then_some(max));
                assert_eq!(publish.encoded_len(version) <= max, len == most);
                let header = FixedHeader::read(&head).unwrap();
                let remaining = header.map(|header| header.remaining as usize);
                assert_eq!(remaining, (len == most).then_some(REMAINING_LENGTH_MAX));
            }
        }
    }
}
