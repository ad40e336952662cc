//! PUBLISH (section 3.3): the packet that everything else exists for.

use super::{
    Malformed, PacketType, Properties, PropertyId, Put, QoS, Reader, ReasonCode, Version, Window,
    var_int_len,
};

/// An Application Message on its way.
#[derive(Clone, Copy, Debug, PartialEq, Default)]
pub struct Publish<'a> {
    /// Whether it was sent before.
    pub dup: bool,
    /// Quality of Service.
    pub qos: QoS,
    /// Retain flag.
    pub retain: bool,
    /// Topic Name: valid UTF-8 without wildcards; empty only where an alias stands for it.
    pub topic: &'a [u8],
    /// Packet Identifier; 0 at QoS 0.
    pub packet_id: u16,
    /// Topic Alias, never 0.
    pub topic_alias: Option<u16>,
    /// Message Expiry Interval in seconds.
    pub expiry_s: Option<u32>,
    /// Encoding only: the Subscription Identifier to write. Decoded ones stand in `properties`.
    pub subscription_id: Option<u32>,
    /// Decoded: all properties. Encoded: those besides the three fields above.
    pub properties: Properties<'a>,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Publish<'a> {
    pub(super) fn decode(
        version: Version,
        first: u8,
        mut reader: Reader<'a>,
        from_server: bool,
    ) -> Result<Publish<'a>, Malformed> {
        let qos = QoS::from_bits(first >> 1 & 3).ok_or(Malformed::packet("a QoS of 3"))?;
        let dup = first & 0x08 != 0;
        if dup && qos == QoS::AtMostOnce {
            return Err(Malformed::packet("DUP is set at QoS 0"));
        }
        let topic = reader.topic_name()?;
        let packet_id = if qos == QoS::AtMostOnce {
            0
        } else {
            reader.packet_id()?
        };
        let mut publish = Publish {
            dup,
            qos,
            retain: first & 0x01 != 0,
            topic,
            packet_id,
            ..Publish::default()
        };
        if version == Version::V5 {
            publish.properties = Properties::read(&mut reader, PacketType::Publish)?;
            publish.read_properties(from_server)?;
        }
        if topic.is_empty() && publish.topic_alias.is_none() {
            return Err(Malformed {
                reason: ReasonCode::PROTOCOL_ERROR,
                what: "an empty topic name without a topic alias",
            });
        }
        publish.payload = reader.rest();
        Ok(publish)
    }

    /// Takes the fields out of the properties that are the connection's, not the message's.
    fn read_properties(&mut self, from_server: bool) -> Result<(), Malformed> {
        if self.properties.is_empty() {
            return Ok(());
        }
        for property in self.properties.iter() {
            match (property.id, property.value) {
                (PropertyId::TopicAlias, super::Value::Integer(alias)) => {
                    self.topic_alias = Some(alias as u16);
                }
                (PropertyId::MessageExpiryInterval, super::Value::Integer(seconds)) => {
                    self.expiry_s = Some(seconds);
                }
                // [MQTT-3.3.4-6]
                (PropertyId::SubscriptionIdentifier, _) if !from_server => {
                    return Err(Malformed::protocol(
                        "a subscription identifier from a client",
                    ));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The properties that are forwarded unaltered and in order, as they came.
    pub fn forwarded(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.properties
            .iter()
            .filter_map(|property| match property.id {
                PropertyId::TopicAlias
                | PropertyId::MessageExpiryInterval
                | PropertyId::SubscriptionIdentifier => None,
                _ => Some(property.raw),
            })
    }

    fn properties_len(&self) -> usize {
        let mut len = self.properties.raw().len();
        len += if self.topic_alias.is_some() { 3 } else { 0 };
        len += if self.expiry_s.is_some() { 5 } else { 0 };
        len + self
            .subscription_id
            .map_or(0, |id| 1 + var_int_len(id as usize))
    }

    fn remaining(&self, version: Version) -> usize {
        let mut len = 2 + self.topic.len() + self.payload.len();
        len += if self.qos == QoS::AtMostOnce { 0 } else { 2 };
        if version == Version::V5 {
            let properties = self.properties_len();
            len += var_int_len(properties) + properties;
        }
        len
    }

    /// How many bytes [`Publish::encode`] writes.
    pub fn encoded_len(&self, version: Version) -> usize {
        let remaining = self.remaining(version);
        1 + var_int_len(remaining) + remaining
    }

    /// Writes a packet without properties, if it has at most `max` bytes and fits into the window
    /// as a whole; returns its length. Longer ones than most are left to [`Publish::encode`].
    #[inline]
    pub fn encode_plain(
        &self,
        version: Version,
        max: usize,
        window: &mut Window<'_>,
    ) -> Option<usize> {
        debug_assert!(self.properties_len() == 0);
        let (has_id, has_properties) = (self.qos != QoS::AtMostOnce, version == Version::V5);
        let ahead = 2 + self.topic.len() + 2 * usize::from(has_id) + usize::from(has_properties);
        let remaining = ahead + self.payload.len();
        let header = if remaining < 128 { 2 } else { 3 };
        let total = header + remaining;
        if remaining >= 128 * 128 || total > max {
            return None;
        }
        let (front, payload) = window.whole(total)?.split_at_mut(header + ahead);
        payload.copy_from_slice(self.payload);
        front[0] = self.first();
        front[1] = remaining as u8;
        if header == 3 {
            front[1] = remaining as u8 | 0x80;
            front[2] = (remaining >> 7) as u8;
        }
        let (len, rest) = front[header..].split_at_mut(2);
        len.copy_from_slice(&(self.topic.len() as u16).to_be_bytes());
        let (topic, rest) = rest.split_at_mut(self.topic.len());
        topic.copy_from_slice(self.topic);
        if has_id {
            rest[..2].copy_from_slice(&self.packet_id.to_be_bytes());
        }
        if has_properties {
            rest[rest.len() - 1] = 0;
        }
        Some(total)
    }

    fn first(&self) -> u8 {
        0x30 | u8::from(self.dup) << 3 | (self.qos as u8) << 1 | u8::from(self.retain)
    }

    /// Writes the whole packet; properties are left out before 5.0.
    pub fn encode(&self, version: Version, out: &mut impl Put) {
        out.put_u8(self.first());
        out.put_var_int(self.remaining(version));
        out.put_field(self.topic);
        if self.qos != QoS::AtMostOnce {
            out.put_u16(self.packet_id);
        }
        if version == Version::V5 {
            out.put_var_int(self.properties_len());
            if let Some(alias) = self.topic_alias {
                PropertyId::TopicAlias.encode(super::Value::Integer(alias.into()), out);
            }
            if let Some(seconds) = self.expiry_s {
                PropertyId::MessageExpiryInterval.encode(super::Value::Integer(seconds), out);
            }
            if let Some(id) = self.subscription_id {
                PropertyId::SubscriptionIdentifier.encode(super::Value::Integer(id), out);
            }
            out.put(self.properties.raw());
        }
        out.put(self.payload);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{FixedHeader, Packet};

    #[test]
    fn the_publish_of_the_walk_through_is_34_bytes_long() {
        let publish = Publish {
            topic: b"usr/test/coucou/test/test",
            payload: b"bonjour",
            ..Publish::default()
        };
        let mut out = Vec::new();
        publish.encode(Version::V311, &mut out);
        assert_eq!(out[..2], [0x30, 34]);
        assert_eq!(out.len(), publish.encoded_len(Version::V311));
        let header = FixedHeader::read(&out).unwrap().unwrap();
        let packet = Packet::decode(Version::V311, header, &out[2..], false);
        assert_eq!(packet, Ok(Packet::Publish(publish)));
    }

    #[test]
    fn the_short_way_to_a_packet_leads_to_the_same_bytes() {
        for version in [Version::V31, Version::V311, Version::V5] {
            for (qos, len) in [0, 1, 100, 116, 117, 118, 119, 130, 16_300, 16_400]
                .into_iter()
                .flat_map(|len| QoS::ALL.map(|qos| (qos, len)))
            {
                let payload = vec![7; len];
                let publish = Publish {
                    dup: qos == QoS::AtLeastOnce,
                    qos,
                    retain: len % 2 == 0,
                    topic: b"a/topic",
                    packet_id: u16::from(qos != QoS::AtMostOnce) * 0x1234,
                    payload: &payload,
                    ..Publish::default()
                };
                let mut known = Vec::new();
                publish.encode(version, &mut known);
                let mut buffer = vec![0; known.len() + 3];
                let mut window = Window::new(&mut buffer, 0);
                let short = publish.encode_plain(version, known.len(), &mut window);
                assert_eq!(short, (len < 16_350).then_some(known.len()));
                assert_eq!(window.len(), short.unwrap_or(0));
                assert!(short.is_none() || buffer.starts_with(&known));
                let mut window = Window::new(&mut buffer, 0);
                let max = known.len() - 1;
                assert_eq!(publish.encode_plain(version, max, &mut window), None);
                let mut cut = Window::new(&mut buffer[..max], 0);
                assert_eq!(publish.encode_plain(version, known.len(), &mut cut), None);
                let mut rest = Window::new(&mut buffer, 1);
                assert_eq!(publish.encode_plain(version, known.len(), &mut rest), None);
            }
        }
    }

    #[test]
    fn what_belongs_to_the_connection_is_not_forwarded() {
        let raw = [
            0x02, 0, 0, 0, 9, 0x26, 0, 1, b'a', 0, 1, b'b', 0x23, 0, 3, 0x01, 1,
        ];
        let mut body = vec![0, 1, b't', raw.len() as u8];
        body.extend_from_slice(&raw);
        let publish = Publish::decode(Version::V5, 0x30, Reader::new(&body), false).unwrap();
        assert_eq!((publish.expiry_s, publish.topic_alias), (Some(9), Some(3)));
        let forwarded: Vec<u8> = publish.forwarded().flatten().copied().collect();
        assert_eq!(forwarded, [0x26, 0, 1, b'a', 0, 1, b'b', 0x01, 1]);
    }
}
