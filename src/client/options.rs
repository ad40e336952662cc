//! What a client says in CONNECT and how much it takes on.

use crate::wire::{self, Connect, Properties, PropertyId, QoS, Version};

/// How a client connects; kept for every connection it opens.
#[derive(Clone, Debug)]
pub struct Options {
    /// The version it speaks.
    pub version: Version,
    /// Whether it announces itself as a bridge (bit 0x80 of the protocol level, before 5.0 only).
    pub is_bridge: bool,
    /// Client Identifier; empty lets the server choose one.
    pub client_id: String,
    /// Clean Start (5.0) or Clean Session (3.x).
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 turns it off.
    pub keep_alive_s: u16,
    /// User Name.
    pub username: Option<String>,
    /// Password.
    pub password: Option<Vec<u8>>,
    /// The will, if any.
    pub will: Option<Will>,
    /// Properties of CONNECT, encoded without their length.
    pub properties: Vec<u8>,
    /// Most messages of QoS 1 and 2 in flight to the server; 0 leaves it to the server.
    pub inflight_max: u16,
    /// The largest packet taken from the server, in bytes.
    pub packet_max: u32,
    /// How long CONNACK may take, in milliseconds.
    pub connack_timeout_ms: u64,
}

/// The will of a client, owned.
#[derive(Clone, Debug, Default)]
pub struct Will {
    /// Will Topic.
    pub topic: String,
    /// Will Payload, at most 65,535 bytes.
    pub payload: Vec<u8>,
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Properties, encoded without their length.
    pub properties: Vec<u8>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            version: Version::V311,
            is_bridge: false,
            client_id: String::new(),
            clean_start: true,
            keep_alive_s: 60,
            username: None,
            password: None,
            will: None,
            properties: Vec::new(),
            inflight_max: 20,
            packet_max: wire::PACKET_MAX,
            connack_timeout_ms: 60_000,
        }
    }
}

impl Options {
    /// Writes the CONNECT.
    pub(super) fn encode_connect(&self, client_id: &str, out: &mut Vec<u8>) {
        let will = self.will.as_ref().map(|will| wire::Will {
            qos: will.qos,
            retain: will.retain,
            properties: Properties::from_encoded(&will.properties),
            topic: &will.topic,
            payload: &will.payload,
        });
        let connect = Connect {
            version: self.version,
            is_bridge: self.is_bridge,
            clean_start: self.clean_start,
            keep_alive_s: self.keep_alive_s,
            properties: Properties::from_encoded(&self.properties),
            client_id,
            will,
            username: self.username.as_deref(),
            password: self.password.as_deref(),
        };
        connect.encode(out);
    }

    /// Our own Receive Maximum; before 5.0 packet identifiers are the only bound.
    pub(super) fn receive_maximum(&self) -> usize {
        self.property(PropertyId::ReceiveMaximum)
            .map_or(usize::from(u16::MAX), |value| value as usize)
    }

    /// The highest topic alias that the server may use.
    pub(super) fn topic_alias_maximum(&self) -> u16 {
        self.property(PropertyId::TopicAliasMaximum)
            .map_or(0, |value| value as u16)
    }

    /// The largest packet that the server may send, in bytes.
    pub(super) fn packet_max(&self) -> usize {
        let announced = self.property(PropertyId::MaximumPacketSize);
        self.packet_max.min(announced.unwrap_or(u32::MAX)) as usize
    }

    fn property(&self, id: PropertyId) -> Option<u32> {
        match self.version {
            Version::V5 => Properties::from_encoded(&self.properties).integer(id),
            _ => None,
        }
    }
}
