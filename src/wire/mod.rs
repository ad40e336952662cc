//! Bytes to packets and packets to bytes, for MQTT 3.1, 3.1.1 and 5.0.
//!
//! Decoding borrows: every packet is a small struct whose strings point into the slice it was read
//! from. Nothing here allocates, keeps state or knows what a session is. The contract:
//!
//! - [`FixedHeader::read`] says how long a packet is before its body has arrived, so that the
//!   caller can refuse it by type or size while it holds two to five bytes.
//! - [`Packet::decode`] takes exactly one body. It checks everything that the specification says
//!   about form: flags, lengths, UTF-8, which properties a packet may carry, how often and with
//!   which values, reserved bits, packet identifiers other than zero, wildcards in topic names,
//!   no bytes left over. A packet that comes out is well formed; iterating its properties or
//!   filters cannot fail.
//! - What is wrong comes out as [`Malformed`], which carries the reason code to answer with.
//! - Encoding writes through [`Put`], either into a `Vec` or into a [`Window`], a part of the
//!   encoding that fits a socket buffer.

mod ack;
mod connack;
mod connect;
mod disconnect;
mod header;
mod plain;
mod property;
mod publish;
mod put;
mod read;
mod reason;
mod subscribe;
mod view;

pub use ack::Ack;
pub use connack::ConnAck;
pub use connect::{Connect, ConnectError, Will};
pub use disconnect::{Auth, Disconnect};
pub use header::{FixedHeader, PacketType};
pub use plain::{Plain, PlainOut};
pub use property::{Kind, Properties, Property, PropertyId, Value};
pub use publish::Publish;
pub use put::{Put, Window, var_int_len};
pub use read::{Reader, is_name, is_topic_name};
pub use reason::ReasonCode;
pub use subscribe::{
    Filters, RetainHandling, SubAck, Subscribe, SubscribeFilter, SubscriptionOptions, Unsubscribe,
};
pub use view::{View, blank_secrets};

/// The largest Remaining Length that four bytes can say.
pub const REMAINING_LENGTH_MAX: usize = 268_435_455;

/// Bytes of the largest packet there can be, its fixed header included. A message that came in just
/// so may be longer than that on its way out: properties, identifiers, topics are others there.
pub const PACKET_MAX: u32 = REMAINING_LENGTH_MAX as u32 + 5;

/// The version of the protocol that a connection speaks, from CONNECT on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// MQTT 3.1, protocol name `MQIsdp`, level 3.
    V31 = 3,
    /// MQTT 3.1.1, protocol name `MQTT`, level 4.
    V311 = 4,
    /// MQTT 5.0, protocol name `MQTT`, level 5.
    V5 = 5,
}

/// Quality of Service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum QoS {
    /// At most once.
    #[default]
    AtMostOnce = 0,
    /// At least once.
    AtLeastOnce = 1,
    /// Exactly once.
    ExactlyOnce = 2,
}

impl QoS {
    /// All there are.
    pub const ALL: [QoS; 3] = [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce];

    /// The QoS of two bits; `None` for 3.
    pub fn from_bits(bits: u8) -> Option<QoS> {
        match bits {
            0 => Some(QoS::AtMostOnce),
            1 => Some(QoS::AtLeastOnce),
            2 => Some(QoS::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet that breaks the rules of form, and the reason code that says so to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The code for a 5.0 peer.
    pub reason: ReasonCode,
    /// What is wrong, for the log.
    pub what: &'static str,
}

impl Malformed {
    /// A Malformed Packet (0x81).
    pub const fn packet(what: &'static str) -> Malformed {
        Malformed {
            reason: ReasonCode::MALFORMED_PACKET,
            what,
        }
    }

    /// A Protocol Error (0x82).
    pub const fn protocol(what: &'static str) -> Malformed {
        Malformed {
            reason: ReasonCode::PROTOCOL_ERROR,
            what,
        }
    }
}

impl std::fmt::Display for Malformed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.what)
    }
}

impl std::error::Error for Malformed {}

/// A decoded packet of either direction, borrowed from the bytes it came in.
///
/// CONNECT is not among them: the version that all others need comes from it, see
/// [`Connect::decode`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Packet<'a> {
    /// CONNACK
    ConnAck(ConnAck<'a>),
    /// PUBLISH
    Publish(Publish<'a>),
    /// PUBACK
    PubAck(Ack<'a>),
    /// PUBREC
    PubRec(Ack<'a>),
    /// PUBREL
    PubRel(Ack<'a>),
    /// PUBCOMP
    PubComp(Ack<'a>),
    /// SUBSCRIBE
    Subscribe(Subscribe<'a>),
    /// SUBACK
    SubAck(SubAck<'a>),
    /// UNSUBSCRIBE
    Unsubscribe(Unsubscribe<'a>),
    /// UNSUBACK
    UnsubAck(SubAck<'a>),
    /// PINGREQ
    PingReq,
    /// PINGRESP
    PingResp,
    /// DISCONNECT
    Disconnect(Disconnect<'a>),
    /// AUTH
    Auth(Auth<'a>),
}

impl<'a> Packet<'a> {
    /// Decodes the body that belongs to `header`; `body` is exactly `header.remaining` bytes.
    ///
    /// `from_server` says who sent it: PUBLISH and SUBSCRIBE properties differ by direction, and
    /// the packets that the other side never sends are refused by [`PacketType`] before this.
    pub fn decode(
        version: Version,
        header: FixedHeader,
        body: &'a [u8],
        from_server: bool,
    ) -> Result<Packet<'a>, Malformed> {
        header.check_flags(version)?;
        let reader = Reader::new(body);
        Ok(match header.packet_type()? {
            PacketType::Connect => return Err(Malformed::protocol("a second CONNECT")),
            PacketType::ConnAck => Packet::ConnAck(ConnAck::decode(version, reader)?),
            PacketType::Publish => {
                Packet::Publish(Publish::decode(version, header.first, reader, from_server)?)
            }
            PacketType::PubAck => Packet::PubAck(Ack::decode(version, PacketType::PubAck, reader)?),
            PacketType::PubRec => Packet::PubRec(Ack::decode(version, PacketType::PubRec, reader)?),
            PacketType::PubRel => Packet::PubRel(Ack::decode(version, PacketType::PubRel, reader)?),
            PacketType::PubComp => {
                Packet::PubComp(Ack::decode(version, PacketType::PubComp, reader)?)
            }
            PacketType::Subscribe => Packet::Subscribe(Subscribe::decode(version, reader)?),
            PacketType::SubAck => {
                Packet::SubAck(SubAck::decode(version, PacketType::SubAck, reader)?)
            }
            PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::decode(version, reader)?),
            PacketType::UnsubAck => {
                Packet::UnsubAck(SubAck::decode(version, PacketType::UnsubAck, reader)?)
            }
            PacketType::PingReq => {
                reader.end()?;
                Packet::PingReq
            }
            PacketType::PingResp => {
                reader.end()?;
                Packet::PingResp
            }
            PacketType::Disconnect => {
                Packet::Disconnect(Disconnect::decode(version, reader, from_server)?)
            }
            PacketType::Auth => Packet::Auth(Auth::decode(version, reader)?),
        })
    }
}
