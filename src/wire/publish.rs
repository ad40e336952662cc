//! PUBLISH (section 3.3): the packet that everything else exists for.

use super::{
    Malformed, PacketType, Properties, PropertyId, Put, QoS, Reader, ReasonCode, Version,
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

    /// Bytes of these properties.
    pub fn forwarded_len(&self) -> usize {
        match self.properties.is_empty() {
            true => 0,
            false => self.forwarded().map(<[u8]>::len).sum(),
        }
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

    /// The first byte of a PUBLISH.
    pub const fn first_byte(dup: bool, qos: QoS, retain: bool) -> u8 {
        0x30 | (dup as u8) << 3 | (qos as u8) << 1 | retain as u8
    }

    /// Writes the whole packet; properties are left out before 5.0.
    pub fn encode(&self, version: Version, out: &mut impl Put) {
        out.put_u8(Publish::first_byte(self.dup, self.qos, self.retain));
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
            if let Some(id) = self.subscription_id {
                PropertyId::SubscriptionIdentifier.encode(super::Value::Integer(id), out);
            }
            out.put(self.properties.raw());
            if let Some(seconds) = self.expiry_s {
                PropertyId::MessageExpiryInterval.encode(super::Value::Integer(seconds), out);
            }
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
