//! The 27 properties of MQTT 5.0 as owned values, and the table of who may carry them.

/// One property.
#[allow(clippy::enum_variant_names)] // the specification's names
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Property {
    PayloadFormatIndicator(u8),
    MessageExpiryInterval(u32),
    ContentType(String),
    ResponseTopic(String),
    CorrelationData(Vec<u8>),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(String),
    ServerKeepAlive(u16),
    AuthenticationMethod(String),
    AuthenticationData(Vec<u8>),
    RequestProblemInformation(u8),
    WillDelayInterval(u32),
    RequestResponseInformation(u8),
    ResponseInformation(String),
    ServerReference(String),
    ReasonString(String),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQoS(u8),
    RetainAvailable(u8),
    UserProperty(String, String),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(u8),
    SubscriptionIdentifierAvailable(u8),
    SharedSubscriptionAvailable(u8),
}

/// The packets that have a property field; a will's stands apart from its CONNECT's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Connect,
    Will,
    ConnAck,
    /// PUBLISH from a client.
    PublishIn,
    /// PUBLISH from a server.
    PublishOut,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP.
    Ack,
    Subscribe,
    /// SUBACK and UNSUBACK.
    SubAck,
    Unsubscribe,
    /// DISCONNECT from a client.
    DisconnectIn,
    /// DISCONNECT from a server.
    DisconnectOut,
    Auth,
}

/// Identifier, name as the specification prints it, and the places that allow the property.
pub struct Row {
    pub id: u8,
    pub kind: Kind,
    pub places: &'static [Place],
}

/// How a property's value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Byte,
    TwoBytes,
    FourBytes,
    VarInt,
    Text,
    Binary,
    Pair,
}

use Kind::*;
use Place::*;

/// Table 2-4 of the specification.
pub const TABLE: [Row; 27] = [
    Row {
        id: 0x01,
        kind: Byte,
        places: &[PublishIn, PublishOut, Will],
    },
    Row {
        id: 0x02,
        kind: FourBytes,
        places: &[PublishIn, PublishOut, Will],
    },
    Row {
        id: 0x03,
        kind: Text,
        places: &[PublishIn, PublishOut, Will],
    },
    Row {
        id: 0x08,
        kind: Text,
        places: &[PublishIn, PublishOut, Will],
    },
    Row {
        id: 0x09,
        kind: Binary,
        places: &[PublishIn, PublishOut, Will],
    },
    Row {
        id: 0x0B,
        kind: VarInt,
        places: &[PublishOut, Subscribe],
    },
    Row {
        id: 0x11,
        kind: FourBytes,
        places: &[Connect, ConnAck, DisconnectIn],
    },
    Row {
        id: 0x12,
        kind: Text,
        places: &[ConnAck],
    },
    Row {
        id: 0x13,
        kind: TwoBytes,
        places: &[ConnAck],
    },
    Row {
        id: 0x15,
        kind: Text,
        places: &[Connect, ConnAck, Auth],
    },
    Row {
        id: 0x16,
        kind: Binary,
        places: &[Connect, ConnAck, Auth],
    },
    Row {
        id: 0x17,
        kind: Byte,
        places: &[Connect],
    },
    Row {
        id: 0x18,
        kind: FourBytes,
        places: &[Will],
    },
    Row {
        id: 0x19,
        kind: Byte,
        places: &[Connect],
    },
    Row {
        id: 0x1A,
        kind: Text,
        places: &[ConnAck],
    },
    Row {
        id: 0x1C,
        kind: Text,
        places: &[ConnAck, DisconnectOut],
    },
    Row {
        id: 0x1F,
        kind: Text,
        places: &[ConnAck, Ack, SubAck, DisconnectIn, DisconnectOut, Auth],
    },
    Row {
        id: 0x21,
        kind: TwoBytes,
        places: &[Connect, ConnAck],
    },
    Row {
        id: 0x22,
        kind: TwoBytes,
        places: &[Connect, ConnAck],
    },
    Row {
        id: 0x23,
        kind: TwoBytes,
        places: &[PublishIn, PublishOut],
    },
    Row {
        id: 0x24,
        kind: Byte,
        places: &[ConnAck],
    },
    Row {
        id: 0x25,
        kind: Byte,
        places: &[ConnAck],
    },
    Row {
        id: 0x26,
        kind: Pair,
        places: &[
            Connect,
            Will,
            ConnAck,
            PublishIn,
            PublishOut,
            Ack,
            Subscribe,
            SubAck,
            Unsubscribe,
            DisconnectIn,
            DisconnectOut,
            Auth,
        ],
    },
    Row {
        id: 0x27,
        kind: FourBytes,
        places: &[Connect, ConnAck],
    },
    Row {
        id: 0x28,
        kind: Byte,
        places: &[ConnAck],
    },
    Row {
        id: 0x29,
        kind: Byte,
        places: &[ConnAck],
    },
    Row {
        id: 0x2A,
        kind: Byte,
        places: &[ConnAck],
    },
];

/// The value of a property, without its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    Number(u32),
    Text(String),
    Binary(Vec<u8>),
    Pair(String, String),
}

impl Property {
    /// Identifier and value, as they are written.
    pub fn parts(&self) -> (u8, Value) {
        use Property::*;
        let number = |id, n: u32| (id, Value::Number(n));
        let text = |id, s: &String| (id, Value::Text(s.clone()));
        match self {
            PayloadFormatIndicator(n) => number(0x01, u32::from(*n)),
            MessageExpiryInterval(n) => number(0x02, *n),
            ContentType(s) => text(0x03, s),
            ResponseTopic(s) => text(0x08, s),
            CorrelationData(b) => (0x09, Value::Binary(b.clone())),
            SubscriptionIdentifier(n) => number(0x0B, *n),
            SessionExpiryInterval(n) => number(0x11, *n),
            AssignedClientIdentifier(s) => text(0x12, s),
            ServerKeepAlive(n) => number(0x13, u32::from(*n)),
            AuthenticationMethod(s) => text(0x15, s),
            AuthenticationData(b) => (0x16, Value::Binary(b.clone())),
            RequestProblemInformation(n) => number(0x17, u32::from(*n)),
            WillDelayInterval(n) => number(0x18, *n),
            RequestResponseInformation(n) => number(0x19, u32::from(*n)),
            ResponseInformation(s) => text(0x1A, s),
            ServerReference(s) => text(0x1C, s),
            ReasonString(s) => text(0x1F, s),
            ReceiveMaximum(n) => number(0x21, u32::from(*n)),
            TopicAliasMaximum(n) => number(0x22, u32::from(*n)),
            TopicAlias(n) => number(0x23, u32::from(*n)),
            MaximumQoS(n) => number(0x24, u32::from(*n)),
            RetainAvailable(n) => number(0x25, u32::from(*n)),
            UserProperty(k, v) => (0x26, Value::Pair(k.clone(), v.clone())),
            MaximumPacketSize(n) => number(0x27, *n),
            WildcardSubscriptionAvailable(n) => number(0x28, u32::from(*n)),
            SubscriptionIdentifierAvailable(n) => number(0x29, u32::from(*n)),
            SharedSubscriptionAvailable(n) => number(0x2A, u32::from(*n)),
        }
    }

    /// The property of an identifier and a value that was read by the identifier's [`Kind`].
    pub fn from_parts(id: u8, value: Value) -> Option<Property> {
        use Property::*;
        Some(match (id, value) {
            (0x01, Value::Number(n)) => PayloadFormatIndicator(n as u8),
            (0x02, Value::Number(n)) => MessageExpiryInterval(n),
            (0x03, Value::Text(s)) => ContentType(s),
            (0x08, Value::Text(s)) => ResponseTopic(s),
            (0x09, Value::Binary(b)) => CorrelationData(b),
            (0x0B, Value::Number(n)) => SubscriptionIdentifier(n),
            (0x11, Value::Number(n)) => SessionExpiryInterval(n),
            (0x12, Value::Text(s)) => AssignedClientIdentifier(s),
            (0x13, Value::Number(n)) => ServerKeepAlive(n as u16),
            (0x15, Value::Text(s)) => AuthenticationMethod(s),
            (0x16, Value::Binary(b)) => AuthenticationData(b),
            (0x17, Value::Number(n)) => RequestProblemInformation(n as u8),
            (0x18, Value::Number(n)) => WillDelayInterval(n),
            (0x19, Value::Number(n)) => RequestResponseInformation(n as u8),
            (0x1A, Value::Text(s)) => ResponseInformation(s),
            (0x1C, Value::Text(s)) => ServerReference(s),
            (0x1F, Value::Text(s)) => ReasonString(s),
            (0x21, Value::Number(n)) => ReceiveMaximum(n as u16),
            (0x22, Value::Number(n)) => TopicAliasMaximum(n as u16),
            (0x23, Value::Number(n)) => TopicAlias(n as u16),
            (0x24, Value::Number(n)) => MaximumQoS(n as u8),
            (0x25, Value::Number(n)) => RetainAvailable(n as u8),
            (0x26, Value::Pair(k, v)) => UserProperty(k, v),
            (0x27, Value::Number(n)) => MaximumPacketSize(n),
            (0x28, Value::Number(n)) => WildcardSubscriptionAvailable(n as u8),
            (0x29, Value::Number(n)) => SubscriptionIdentifierAvailable(n as u8),
            (0x2A, Value::Number(n)) => SharedSubscriptionAvailable(n as u8),
            _ => return None,
        })
    }

    /// The rules that the specification has for the value alone, and the code for a breach.
    pub fn check(&self) -> Result<(), u8> {
        use Property::*;
        match self {
            PayloadFormatIndicator(n)
            | RequestProblemInformation(n)
            | RequestResponseInformation(n)
            | MaximumQoS(n)
            | RetainAvailable(n)
            | WildcardSubscriptionAvailable(n)
            | SubscriptionIdentifierAvailable(n)
            | SharedSubscriptionAvailable(n)
                if *n > 1 =>
            {
                Err(0x82)
            }
            SubscriptionIdentifier(0) | ReceiveMaximum(0) | MaximumPacketSize(0) => Err(0x82),
            TopicAlias(0) => Err(0x94),
            ResponseTopic(topic) if topic.is_empty() || topic.contains(['+', '#']) => Err(0x82),
            _ => Ok(()),
        }
    }
}

/// The row of an identifier.
pub fn row(id: u8) -> Option<&'static Row> {
    TABLE.iter().find(|row| row.id == id)
}
