//! CONNACK (section 3.2).

use super::{Malformed, PacketType, Properties, Put, Reader, ReasonCode, Version};

/// The answer to CONNECT.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConnAck<'a> {
    /// Whether the server holds a session for this client; none in MQTT 3.1.
    pub session_present: bool,
    /// Reason Code (5.0) or return code (3.x) as it is on the wire.
    pub reason: ReasonCode,
    /// Properties; none before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> ConnAck<'a> {
    pub(super) fn decode(
        version: Version,
        mut reader: Reader<'a>,
    ) -> Result<ConnAck<'a>, Malformed> {
        let flags = reader.u8()?;
        if flags > 1 && version != Version::V31 {
            return Err(Malformed::packet(
                "reserved bits of the CONNACK flags are set",
            ));
        }
        let reason = ReasonCode(reader.u8()?);
        let known = match version {
            Version::V5 => reason.fits(PacketType::ConnAck),
            _ => reason.0 <= 5,
        };
        if !known {
            return Err(Malformed::packet("a CONNACK code that does not exist"));
        }
        let properties = match version {
            Version::V5 => Properties::read(&mut reader, PacketType::ConnAck)?,
            _ => Properties::default(),
        };
        reader.end()?;
        Ok(ConnAck {
            session_present: flags & 1 != 0,
            reason,
            properties,
        })
    }

    /// Writes the whole packet; for 3.x the reason is already a return code.
    pub fn encode(&self, version: Version, out: &mut impl Put) {
        let v5 = version == Version::V5;
        out.put_u8(0x20);
        out.put_var_int(2 + if v5 { self.properties.encoded_len() } else { 0 });
        out.put_u8(u8::from(self.session_present));
        out.put_u8(self.reason.0);
        if v5 {
            self.properties.encode(out);
        }
    }
}
