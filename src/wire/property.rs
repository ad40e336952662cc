//! The properties of MQTT 5.0: one table of the 27, and a checked view over their bytes.
//!
//! [`Properties::read`] checks everything at once (known, allowed in this packet, no repetition,
//! values in range, strings well formed), so that iterating afterwards cannot fail and a property
//! is found by walking a few bytes. Bounds: no memory of its own, one pass, a bit per property.

use super::{Malformed, PacketType, Put, Reader, ReasonCode};

/// How the value of a property is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the specification's names
pub enum Kind {
    Byte,
    TwoByteInteger,
    FourByteInteger,
    VariableByteInteger,
    Utf8String,
    BinaryData,
    Utf8StringPair,
}

/// Set in a property's packet set when it may stand in the will's properties.
const WILL: u16 = 1;

/// Declares each property once: identifier, name, encoding, packets.
macro_rules! properties {
    ($(
        $name:ident = $id:literal, $text:literal, $kind:ident,
        [$($packet:ident)*] $(+ $will:ident)?;
    )*) => {
        /// The identifier of a property.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs)] // the specification's names
        pub enum PropertyId { $($name = $id,)* }

        impl PropertyId {
            /// Every property there is.
            pub const ALL: &'static [PropertyId] = &[$(PropertyId::$name),*];

            /// The property of this number.
            pub fn from_u8(id: u8) -> Option<PropertyId> {
                match id { $($id => Some(PropertyId::$name),)* _ => None }
            }

            /// The name in lower case with hyphens, as Mosquitto's clients write it.
            pub fn name(self) -> &'static str {
                match self { $(PropertyId::$name => $text,)* }
            }

            /// How its value is encoded.
            pub fn kind(self) -> Kind {
                match self { $(PropertyId::$name => Kind::$kind,)* }
            }

            /// The packets it may stand in, as [`PacketType::bit`]s, and [`WILL`].
            const fn packets(self) -> u16 {
                match self {
                    $(PropertyId::$name => 0 $(| PacketType::$packet.bit())* $(| $will)?,)*
                }
            }
        }
    };
}

properties! {
    PayloadFormatIndicator = 0x01, "payload-format-indicator", Byte, [Publish] + WILL;
    MessageExpiryInterval = 0x02, "message-expiry-interval", FourByteInteger, [Publish] + WILL;
    ContentType = 0x03, "content-type", Utf8String, [Publish] + WILL;
    ResponseTopic = 0x08, "response-topic", Utf8String, [Publish] + WILL;
    CorrelationData = 0x09, "correlation-data", BinaryData, [Publish] + WILL;
    SubscriptionIdentifier = 0x0B, "subscription-identifier", VariableByteInteger,
        [Publish Subscribe];
    SessionExpiryInterval = 0x11, "session-expiry-interval", FourByteInteger,
        [Connect ConnAck Disconnect];
    AssignedClientIdentifier = 0x12, "assigned-client-identifier", Utf8String, [ConnAck];
    ServerKeepAlive = 0x13, "server-keep-alive", TwoByteInteger, [ConnAck];
    AuthenticationMethod = 0x15, "authentication-method", Utf8String, [Connect ConnAck Auth];
    AuthenticationData = 0x16, "authentication-data", BinaryData, [Connect ConnAck Auth];
    RequestProblemInformation = 0x17, "request-problem-information", Byte, [Connect];
    WillDelayInterval = 0x18, "will-delay-interval", FourByteInteger, [] + WILL;
    RequestResponseInformation = 0x19, "request-response-information", Byte, [Connect];
    ResponseInformation = 0x1A, "response-information", Utf8String, [ConnAck];
    ServerReference = 0x1C, "server-reference", Utf8String, [ConnAck Disconnect];
    ReasonString = 0x1F, "reason-string", Utf8String,
        [ConnAck PubAck PubRec PubRel PubComp SubAck UnsubAck Disconnect Auth];
    ReceiveMaximum = 0x21, "receive-maximum", TwoByteInteger, [Connect ConnAck];
    TopicAliasMaximum = 0x22, "topic-alias-maximum", TwoByteInteger, [Connect ConnAck];
    TopicAlias = 0x23, "topic-alias", TwoByteInteger, [Publish];
    MaximumQoS = 0x24, "maximum-qos", Byte, [ConnAck];
    RetainAvailable = 0x25, "retain-available", Byte, [ConnAck];
    UserProperty = 0x26, "user-property", Utf8StringPair,
        [Connect ConnAck Publish PubAck PubRec PubRel PubComp Subscribe SubAck Unsubscribe UnsubAck
         Disconnect Auth] + WILL;
    MaximumPacketSize = 0x27, "maximum-packet-size", FourByteInteger, [Connect ConnAck];
    WildcardSubscriptionAvailable = 0x28, "wildcard-subscription-available", Byte, [ConnAck];
    SubscriptionIdentifierAvailable = 0x29, "subscription-identifier-available", Byte, [ConnAck];
    SharedSubscriptionAvailable = 0x2A, "shared-subscription-available", Byte, [ConnAck];
}

impl PropertyId {
    /// Whether the property may stand in this packet's properties.
    pub fn fits(self, packet: PacketType) -> bool {
        self.packets() & packet.bit() != 0
    }

    /// Whether the property may stand in the properties of a will.
    pub fn fits_will(self) -> bool {
        self.packets() & WILL != 0
    }
}

/// The value of a property, borrowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Any of the four integer encodings.
    Integer(u32),
    /// A UTF-8 Encoded String.
    Text(&'a str),
    /// Binary Data.
    Binary(&'a [u8]),
    /// A UTF-8 String Pair: name and value.
    Pair(&'a str, &'a str),
}

impl Value<'_> {
    fn read<'a>(id: PropertyId, reader: &mut Reader<'a>) -> Result<Value<'a>, Malformed> {
        Ok(match id.kind() {
            Kind::Byte => Value::Integer(reader.u8()?.into()),
            Kind::TwoByteInteger => Value::Integer(reader.u16()?.into()),
            Kind::FourByteInteger => Value::Integer(reader.u32()?),
            Kind::VariableByteInteger => Value::Integer(reader.var_int()? as u32),
            Kind::Utf8String => Value::Text(reader.string()?),
            Kind::BinaryData => Value::Binary(reader.binary()?),
            Kind::Utf8StringPair => Value::Pair(reader.string()?, reader.string()?),
        })
    }

    /// Checks the range that the specification gives the value.
    fn check(&self, id: PropertyId) -> Result<(), Malformed> {
        use PropertyId::*;
        match (id, *self) {
            (TopicAlias, Value::Integer(0)) => Err(Malformed {
                reason: super::ReasonCode::TOPIC_ALIAS_INVALID,
                what: "a topic alias of zero",
            }),
            (SubscriptionIdentifier | ReceiveMaximum | MaximumPacketSize, Value::Integer(0)) => {
                Err(Malformed::protocol(
                    "a property that may not be zero is zero",
                ))
            }
            (_, Value::Integer(2..)) if id.kind() == Kind::Byte => Err(Malformed::protocol(
                "a property that is 0 or 1 is something else",
            )),
            (ResponseTopic, Value::Text("")) => Err(Malformed::protocol("an empty response topic")),
            (ResponseTopic, Value::Text(topic))
                if memchr::memchr2(b'+', b'#', topic.as_bytes()).is_some() =>
            {
                Err(Malformed::protocol("a wildcard in a response topic"))
            }
            _ => Ok(()),
        }
    }
}

/// One property with the bytes it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// Which one.
    pub id: PropertyId,
    /// Its value.
    pub value: Value<'a>,
    /// Identifier and value as they stood in the packet.
    pub raw: &'a [u8],
}

/// Properties of one packet at most, in bytes: as much as four of them of the greatest length, or
/// fifty thousand of the smallest, which take a millisecond to read.
const PROPERTIES_MAX: usize = 256 * 1024;

/// Properties of a packet, checked; or bytes that we encoded ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Properties<'a> {
    raw: &'a [u8],
}

impl<'a> Properties<'a> {
    /// Reads Property Length and properties of this packet.
    pub fn read(reader: &mut Reader<'a>, packet: PacketType) -> Result<Properties<'a>, Malformed> {
        Properties::read_for(reader, packet.bit())
    }

    /// Reads the properties of a will.
    pub fn read_will(reader: &mut Reader<'a>) -> Result<Properties<'a>, Malformed> {
        Properties::read_for(reader, WILL)
    }

    fn read_for(reader: &mut Reader<'a>, packet: u16) -> Result<Properties<'a>, Malformed> {
        let len = reader.var_int()?;
        let raw = reader.take(len)?;
        if len > PROPERTIES_MAX {
            return Err(Malformed {
                reason: ReasonCode::PACKET_TOO_LARGE,
                what: "more than 256 KiB of properties",
            });
        }
        Properties::check(raw, packet)?;
        Ok(Properties { raw })
    }

    /// Whether these bytes are properties of a PUBLISH, as they stand behind the Property Length.
    pub fn are_of_publish(raw: &[u8]) -> bool {
        Properties::check(raw, PacketType::Publish.bit()).is_ok()
    }

    fn check(raw: &[u8], packet: u16) -> Result<(), Malformed> {
        let mut rest = Reader::new(raw);
        let mut seen = 0_u64;
        while !rest.is_empty() {
            let id =
                PropertyId::from_u8(rest.u8()?).ok_or(Malformed::packet("an unknown property"))?;
            if id.packets() & packet == 0 {
                // A Malformed Packet: section 2.2.2.2.
                return Err(Malformed::packet(
                    "a property that does not belong to the packet",
                ));
            }
            let bit = 1 << id as u8;
            let repeats = id == PropertyId::UserProperty
                || id == PropertyId::SubscriptionIdentifier && packet == PacketType::Publish.bit();
            if seen & bit != 0 && !repeats {
                return Err(Malformed::protocol("a property stands there twice"));
            }
            seen |= bit;
            Value::read(id, &mut rest)?.check(id)?;
        }
        let method = 1 << PropertyId::AuthenticationMethod as u8;
        if seen & (1 << PropertyId::AuthenticationData as u8) != 0 && seen & method == 0 {
            return Err(Malformed::protocol("authentication data without a method"));
        }
        Ok(())
    }

    /// Properties that this program encoded itself.
    ///
    /// Each must be whole; what is not is left out when iterating.
    pub fn from_encoded(raw: &'a [u8]) -> Properties<'a> {
        Properties { raw }
    }

    /// The bytes behind the Property Length.
    pub fn raw(&self) -> &'a [u8] {
        self.raw
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.raw.is_empty()
    }

    /// The properties in their order.
    pub fn iter(&self) -> impl Iterator<Item = Property<'a>> + use<'a> {
        let mut rest = Reader::new(self.raw);
        std::iter::from_fn(move || {
            let start = rest.rest();
            let id = PropertyId::from_u8(rest.u8().ok()?)?;
            let value = Value::read(id, &mut rest).ok()?;
            Some(Property {
                id,
                value,
                raw: &start[..start.len() - rest.rest().len()],
            })
        })
    }

    /// The first value of this property.
    pub fn find(&self, id: PropertyId) -> Option<Value<'a>> {
        if self.raw.is_empty() {
            return None;
        }
        self.iter()
            .find(|property| property.id == id)
            .map(|property| property.value)
    }

    /// The value of a property that is an integer.
    pub fn integer(&self, id: PropertyId) -> Option<u32> {
        match self.find(id) {
            Some(Value::Integer(value)) => Some(value),
            _ => None,
        }
    }

    /// The value of a property that is a string.
    pub fn text(&self, id: PropertyId) -> Option<&'a str> {
        match self.find(id) {
            Some(Value::Text(value)) => Some(value),
            _ => None,
        }
    }

    /// Writes Property Length and properties.
    pub fn encode(&self, out: &mut impl Put) {
        out.put_var_int(self.raw.len());
        out.put(self.raw);
    }

    /// How many bytes [`Properties::encode`] writes.
    pub fn encoded_len(&self) -> usize {
        super::var_int_len(self.raw.len()) + self.raw.len()
    }
}

impl PropertyId {
    /// Writes this property; the value has the kind that the property asks for.
    pub fn encode(self, value: Value<'_>, out: &mut impl Put) {
        out.put_u8(self as u8);
        match (self.kind(), value) {
            (Kind::Byte, Value::Integer(v)) => out.put_u8(v as u8),
            (Kind::TwoByteInteger, Value::Integer(v)) => out.put_u16(v as u16),
            (Kind::VariableByteInteger, Value::Integer(v)) => out.put_var_int(v as usize),
            (_, Value::Integer(v)) => out.put_u32(v),
            (_, Value::Text(text)) => out.put_field(text.as_bytes()),
            (_, Value::Binary(bytes)) => out.put_field(bytes),
            (_, Value::Pair(name, value)) => {
                out.put_field(name.as_bytes());
                out.put_field(value.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(packet: PacketType, bytes: &[u8]) -> Result<usize, Malformed> {
        let mut reader = Reader::new(bytes);
        Properties::read(&mut reader, packet).map(|properties| properties.iter().count())
    }

    #[test]
    fn a_property_stands_once_and_only_where_it_belongs() {
        assert_eq!(read(PacketType::Publish, &[4, 0x01, 1, 0x0b, 5]), Ok(2));
        assert!(read(PacketType::Publish, &[4, 0x01, 1, 0x01, 1]).is_err());
        assert!(read(PacketType::Publish, &[2, 0x24, 1]).is_err());
        assert!(read(PacketType::Publish, &[2, 0x7f, 1]).is_err());
        assert!(read(PacketType::Publish, &[2, 0x01, 2]).is_err());
        assert!(read(PacketType::Publish, &[3, 0x23, 0, 0]).is_err());
        assert!(read(PacketType::Subscribe, &[4, 0x0b, 5, 0x0b, 6]).is_err());
        assert_eq!(read(PacketType::Publish, &[4, 0x0b, 5, 0x0b, 6]), Ok(2));
    }

    /// Section 2.2.2.2 and what each property's own section says of a second one.
    #[test]
    fn a_foreign_property_is_malformed_and_a_second_one_a_protocol_error() {
        for (packet, bytes, reason) in [
            (PacketType::Publish, &[2, 0x24, 1][..], 0x81),
            (PacketType::Subscribe, &[5, 0x11, 0, 0, 0, 1], 0x81),
            (PacketType::Publish, &[2, 0x7f, 1], 0x81),
            (PacketType::Publish, &[4, 0x01, 1, 0x01, 1], 0x82),
            (PacketType::Subscribe, &[4, 0x0b, 5, 0x0b, 6], 0x82),
        ] {
            let malformed = read(packet, bytes).unwrap_err();
            assert_eq!(malformed.reason, ReasonCode(reason), "{bytes:02x?}");
        }
    }

    #[test]
    fn every_property_comes_back_from_its_encoding() {
        for &id in PropertyId::ALL {
            let value = match id.kind() {
                Kind::Utf8String => Value::Text("abc"),
                Kind::BinaryData => Value::Binary(&[0, 1, 2]),
                Kind::Utf8StringPair => Value::Pair("name", "value"),
                _ => Value::Integer(1),
            };
            let mut raw = Vec::new();
            id.encode(value, &mut raw);
            let properties = Properties::from_encoded(&raw);
            let all: Vec<_> = properties.iter().collect();
            assert_eq!(
                all,
                [Property {
                    id,
                    value,
                    raw: &raw
                }]
            );
            assert_eq!(PropertyId::from_u8(id as u8), Some(id));
        }
    }
}
