//! The fifteen packets of MQTT as plain owned values, with builders that read like sentences.
//!
//! One struct serves 3.1, 3.1.1 and 5.0: what a version does not have (properties, most reason
//! codes) stays empty. QoS and reason codes are bare numbers, so that a test can also say what the
//! specification forbids.

use super::property::Property;

/// A version of the protocol; the number is the protocol level of CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    V31 = 3,
    V311 = 4,
    V5 = 5,
}

impl Version {
    /// All three, for stories that hold in each.
    pub const ALL: [Version; 3] = [Version::V31, Version::V311, Version::V5];
    /// The two whose specifications number their statements.
    pub const NUMBERED: [Version; 2] = [Version::V311, Version::V5];

    pub fn protocol_name(self) -> &'static str {
        if self == Version::V31 {
            "MQIsdp"
        } else {
            "MQTT"
        }
    }
}

/// Any packet, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    Connect(Connect),
    ConnAck(ConnAck),
    Publish(Publish),
    PubAck(Ack),
    PubRec(Ack),
    PubRel(Ack),
    PubComp(Ack),
    Subscribe(Subscribe),
    SubAck(SubAck),
    Unsubscribe(Unsubscribe),
    UnsubAck(SubAck),
    PingReq,
    PingResp,
    Disconnect(Disconnect),
    Auth(Auth),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub protocol_name: String,
    /// The byte on the wire; bit 7 marks a bridge of Mosquitto's.
    pub protocol_level: u8,
    /// Clean Start of 5.0, CleanSession before.
    pub clean_start: bool,
    pub keep_alive_s: u16,
    pub properties: Vec<Property>,
    pub client_id: String,
    pub will: Option<Will>,
    pub user_name: Option<String>,
    pub password: Option<Vec<u8>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Will {
    pub qos: u8,
    pub retain: bool,
    pub properties: Vec<Property>,
    pub topic: String,
    pub payload: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnAck {
    pub session_present: bool,
    /// Return code of 3.x, Reason Code of 5.0.
    pub code: u8,
    pub properties: Vec<Property>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish {
    pub dup: bool,
    pub qos: u8,
    pub retain: bool,
    pub topic: String,
    /// 0 with QoS 0, which has none.
    pub packet_id: u16,
    pub properties: Vec<Property>,
    pub payload: Vec<u8>,
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    pub packet_id: u16,
    pub code: u8,
    pub properties: Vec<Property>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscribe {
    pub packet_id: u16,
    pub properties: Vec<Property>,
    /// Filter and the byte of options behind it; before 5.0 the byte is the requested QoS.
    pub filters: Vec<(String, u8)>,
}

/// SUBACK and UNSUBACK. An UNSUBACK before 5.0 has no codes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubAck {
    pub packet_id: u16,
    pub properties: Vec<Property>,
    pub codes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsubscribe {
    pub packet_id: u16,
    pub properties: Vec<Property>,
    pub filters: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disconnect {
    pub code: u8,
    pub properties: Vec<Property>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Auth {
    pub code: u8,
    pub properties: Vec<Property>,
}

/// Bits of the options byte of a 5.0 subscription, to be added to the QoS.
pub const NO_LOCAL: u8 = 0x04;
/// Retain As Published.
pub const RETAIN_AS_PUBLISHED: u8 = 0x08;
/// Retain Handling 1: retained messages only for a new subscription.
pub const RETAINED_IF_NEW: u8 = 0x10;
/// Retain Handling 2: no retained messages.
pub const RETAINED_NEVER: u8 = 0x20;

impl Packet {
    /// The packet's name in capitals.
    pub fn name(&self) -> &'static str {
        match self {
            Packet::Connect(_) => "CONNECT",
            Packet::ConnAck(_) => "CONNACK",
            Packet::Publish(_) => "PUBLISH",
            Packet::PubAck(_) => "PUBACK",
            Packet::PubRec(_) => "PUBREC",
            Packet::PubRel(_) => "PUBREL",
            Packet::PubComp(_) => "PUBCOMP",
            Packet::Subscribe(_) => "SUBSCRIBE",
            Packet::SubAck(_) => "SUBACK",
            Packet::Unsubscribe(_) => "UNSUBSCRIBE",
            Packet::UnsubAck(_) => "UNSUBACK",
            Packet::PingReq => "PINGREQ",
            Packet::PingResp => "PINGRESP",
            Packet::Disconnect(_) => "DISCONNECT",
            Packet::Auth(_) => "AUTH",
        }
    }
}

impl Connect {
    /// Clean, keep alive off, nothing else.
    pub fn new(version: Version, client_id: &str) -> Connect {
        Connect {
            protocol_name: version.protocol_name().to_string(),
            protocol_level: version as u8,
            clean_start: true,
            keep_alive_s: 0,
            properties: Vec::new(),
            client_id: client_id.to_string(),
            will: None,
            user_name: None,
            password: None,
        }
    }
}

impl Will {
    pub fn new(topic: &str, payload: impl AsRef<[u8]>) -> Will {
        Will {
            qos: 0,
            retain: false,
            properties: Vec::new(),
            topic: topic.to_string(),
            payload: payload.as_ref().to_vec(),
        }
    }

    pub fn qos(mut self, qos: u8) -> Will {
        self.qos = qos;
        self
    }

    pub fn retain(mut self) -> Will {
        self.retain = true;
        self
    }

    pub fn with(mut self, property: Property) -> Will {
        self.properties.push(property);
        self
    }
}

impl Publish {
    /// QoS 0, not retained.
    pub fn new(topic: &str, payload: impl AsRef<[u8]>) -> Publish {
        Publish {
            dup: false,
            qos: 0,
            retain: false,
            topic: topic.to_string(),
            packet_id: 0,
            properties: Vec::new(),
            payload: payload.as_ref().to_vec(),
        }
    }

    pub fn qos(mut self, qos: u8) -> Publish {
        self.qos = qos;
        self
    }

    pub fn id(mut self, packet_id: u16) -> Publish {
        self.packet_id = packet_id;
        self
    }

    pub fn retain(mut self) -> Publish {
        self.retain = true;
        self
    }

    pub fn dup(mut self) -> Publish {
        self.dup = true;
        self
    }

    pub fn with(mut self, property: Property) -> Publish {
        self.properties.push(property);
        self
    }

    /// The payload as text, for assertions.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.payload).into_owned()
    }
}

impl Ack {
    pub fn new(packet_id: u16) -> Ack {
        Ack::code(packet_id, 0)
    }

    pub fn code(packet_id: u16, code: u8) -> Ack {
        Ack {
            packet_id,
            code,
            properties: Vec::new(),
        }
    }
}

impl Subscribe {
    pub fn new(packet_id: u16) -> Subscribe {
        Subscribe {
            packet_id,
            properties: Vec::new(),
            filters: Vec::new(),
        }
    }

    /// Adds a filter with its options: a QoS, and in 5.0 the bits above.
    pub fn filter(mut self, filter: &str, options: u8) -> Subscribe {
        self.filters.push((filter.to_string(), options));
        self
    }

    pub fn with(mut self, property: Property) -> Subscribe {
        self.properties.push(property);
        self
    }
}

impl SubAck {
    pub fn new(packet_id: u16, codes: &[u8]) -> SubAck {
        SubAck {
            packet_id,
            properties: Vec::new(),
            codes: codes.to_vec(),
        }
    }
}

impl Unsubscribe {
    pub fn new(packet_id: u16) -> Unsubscribe {
        Unsubscribe {
            packet_id,
            properties: Vec::new(),
            filters: Vec::new(),
        }
    }

    pub fn filter(mut self, filter: &str) -> Unsubscribe {
        self.filters.push(filter.to_string());
        self
    }
}

impl Disconnect {
    pub fn new(code: u8) -> Disconnect {
        Disconnect {
            code,
            properties: Vec::new(),
        }
    }

    pub fn with(mut self, property: Property) -> Disconnect {
        self.properties.push(property);
        self
    }
}

impl Auth {
    pub fn new(code: u8) -> Auth {
        Auth {
            code,
            properties: Vec::new(),
        }
    }

    pub fn with(mut self, property: Property) -> Auth {
        self.properties.push(property);
        self
    }
}

/// Packets with a struct of their own turn into [`Packet`] by themselves.
macro_rules! into_packet {
    ($($name:ident)*) => {
        $(impl From<$name> for Packet {
            fn from(packet: $name) -> Packet {
                Packet::$name(packet)
            }
        })*
    };
}

into_packet!(Connect ConnAck Publish Subscribe Unsubscribe Disconnect Auth);
