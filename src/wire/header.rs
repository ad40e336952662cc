//! The fixed header: packet type, flags, Remaining Length.

use super::{Malformed, Publish, Reader, Version};

/// The fifteen packet types.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the specification's names
pub enum PacketType {
    Connect = 1,
    ConnAck = 2,
    Publish = 3,
    PubAck = 4,
    PubRec = 5,
    PubRel = 6,
    PubComp = 7,
    Subscribe = 8,
    SubAck = 9,
    Unsubscribe = 10,
    UnsubAck = 11,
    PingReq = 12,
    PingResp = 13,
    Disconnect = 14,
    Auth = 15,
}

impl PacketType {
    const ALL: [PacketType; 15] = {
        use PacketType::*;
        [
            Connect,
            ConnAck,
            Publish,
            PubAck,
            PubRec,
            PubRel,
            PubComp,
            Subscribe,
            SubAck,
            Unsubscribe,
            UnsubAck,
            PingReq,
            PingResp,
            Disconnect,
            Auth,
        ]
    };

    /// The packet's name in capitals, as log lines have it.
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 15] = [
            "CONNECT",
            "CONNACK",
            "PUBLISH",
            "PUBACK",
            "PUBREC",
            "PUBREL",
            "PUBCOMP",
            "SUBSCRIBE",
            "SUBACK",
            "UNSUBSCRIBE",
            "UNSUBACK",
            "PINGREQ",
            "PINGRESP",
            "DISCONNECT",
            "AUTH",
        ];
        NAMES[self as usize - 1]
    }

    /// The bit of this type in a set of packet types.
    pub const fn bit(self) -> u16 {
        1 << self as u16
    }

    /// Whether a client may send it to a server at all.
    pub fn comes_from_client(self) -> bool {
        use PacketType::*;
        !matches!(self, ConnAck | SubAck | UnsubAck | PingResp)
    }

    /// Whether a server may send it to a client at all.
    pub fn comes_from_server(self) -> bool {
        use PacketType::*;
        !matches!(self, Connect | Subscribe | Unsubscribe | PingReq)
    }
}

/// The fixed header of a packet whose body may not have arrived yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedHeader {
    /// Type and flags.
    pub first: u8,
    /// Bytes of the fixed header itself, 2 to 5.
    pub len: u8,
    /// Remaining Length: bytes of the body.
    pub remaining: u32,
}

impl FixedHeader {
    /// What stands behind the fixed header of a packet that is there as a whole.
    pub fn body_of(packet: &[u8]) -> Option<&[u8]> {
        let header = FixedHeader::read(packet).ok().flatten()?;
        packet.get(usize::from(header.len)..)
    }

    /// Reads the header at the front of `bytes`; `None` when it has not arrived whole.
    #[inline]
    pub fn read(bytes: &[u8]) -> Result<Option<FixedHeader>, Malformed> {
        // Nearly every packet is shorter than 128 bytes.
        if let [first, remaining @ 0..=127, ..] = *bytes {
            return Ok(Some(FixedHeader {
                first,
                len: 2,
                remaining: u32::from(remaining),
            }));
        }
        let Some((&first, rest)) = bytes.split_first() else {
            return Ok(None);
        };
        let mut remaining = 0;
        for (i, &byte) in rest.iter().take(4).enumerate() {
            remaining |= u32::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                return Ok(Some(FixedHeader {
                    first,
                    len: i as u8 + 2,
                    remaining,
                }));
            }
        }
        if rest.len() < 4 {
            return Ok(None);
        }
        Err(Malformed::packet(
            "a Remaining Length of more than four bytes",
        ))
    }

    /// Bytes of the whole packet.
    pub fn total(self) -> usize {
        usize::from(self.len) + self.remaining as usize
    }

    /// The packet's type; 0 is reserved.
    pub fn packet_type(self) -> Result<PacketType, Malformed> {
        PacketType::ALL
            .get(usize::from(self.first >> 4).wrapping_sub(1))
            .copied()
            .ok_or(Malformed::packet("packet type 0 is reserved"))
    }

    /// Decodes the body of a PUBLISH of a client's.
    #[inline]
    pub fn decode_publish(self, version: Version, body: &[u8]) -> Result<Publish<'_>, Malformed> {
        self.check_flags(version)?;
        Publish::decode(version, self.first, Reader::new(body), false)
    }

    /// Checks type, reserved flag bits [MQTT-2.1.3-1] and the form of Remaining Length for this
    /// version. The flags of PUBLISH are its own business.
    pub fn check_flags(self, version: Version) -> Result<(), Malformed> {
        let packet_type = self.packet_type()?;
        let flags = self.first & 0x0f;
        use PacketType::*;
        let good = match packet_type {
            Publish => true,
            Auth if version != Version::V5 => {
                return Err(Malformed::packet(
                    "packet type 15 is reserved before MQTT 5.0",
                ));
            }
            // MQTT 3.1 sends these with DUP when it sends them again.
            PubRel | Subscribe | Unsubscribe if version == Version::V31 => flags & 0x07 == 0x02,
            PubRel | Subscribe | Unsubscribe => flags == 0x02,
            _ => flags == 0,
        };
        if !good {
            return Err(Malformed::packet(
                "reserved bits in the fixed header are set",
            ));
        }
        let shortest = 1 + super::var_int_len(self.remaining as usize);
        if version == Version::V5 && usize::from(self.len) != shortest {
            return Err(Malformed::packet("a Remaining Length longer than needed"));
        }
        Ok(())
    }
}
