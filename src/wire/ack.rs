//! PUBACK, PUBREC, PUBREL and PUBCOMP (sections 3.4 to 3.7): one shape, four types.

use super::{Malformed, PacketType, Properties, Put, Reader, ReasonCode, Version};

/// A step of a QoS 1 or 2 handshake.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ack<'a> {
    /// The Packet Identifier of the PUBLISH.
    pub packet_id: u16,
    /// Reason Code; Success before 5.0.
    pub reason: ReasonCode,
    /// Properties; none before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Ack<'a> {
    pub(super) fn decode(
        version: Version,
        packet: PacketType,
        mut reader: Reader<'a>,
    ) -> Result<Ack<'a>, Malformed> {
        let packet_id = reader.packet_id()?;
        let mut ack = Ack {
            packet_id,
            reason: ReasonCode::SUCCESS,
            properties: Properties::default(),
        };
        if version != Version::V5 || reader.is_empty() {
            reader.end()?;
            return Ok(ack);
        }
        ack.reason = ReasonCode(reader.u8()?);
        if !ack.reason.fits(packet) {
            return Err(Malformed::protocol(
                "a reason code that does not belong to the packet",
            ));
        }
        if !reader.is_empty() {
            ack.properties = Properties::read(&mut reader, packet)?;
        }
        reader.end()?;
        Ok(ack)
    }

    /// Writes the whole packet of type `packet`, in its shortest form.
    pub fn encode(&self, version: Version, packet: PacketType, out: &mut impl Put) {
        let flags = if packet == PacketType::PubRel {
            0x02
        } else {
            0
        };
        let first = (packet as u8) << 4 | flags;
        if version != Version::V5
            || self.reason == ReasonCode::SUCCESS && self.properties.is_empty()
        {
            let [high, low] = self.packet_id.to_be_bytes();
            return out.put(&[first, 2, high, low]);
        }
        out.put_u8(first);
        let with_properties = !self.properties.is_empty();
        let len = if with_properties {
            self.properties.encoded_len()
        } else {
            0
        };
        out.put_var_int(3 + len);
        out.put_u16(self.packet_id);
        out.put_u8(self.reason.0);
        if with_properties {
            self.properties.encode(out);
        }
    }
}
