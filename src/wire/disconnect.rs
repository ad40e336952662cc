//! DISCONNECT and AUTH (sections 3.14 and 3.15).

use super::{Malformed, PacketType, Properties, PropertyId, Put, Reader, ReasonCode, Version};

/// The last packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Disconnect<'a> {
    /// Reason Code; Normal disconnection before 5.0.
    pub reason: ReasonCode,
    /// Properties; none before 5.0.
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    pub(super) fn decode(
        version: Version,
        reader: Reader<'a>,
        from_server: bool,
    ) -> Result<Disconnect<'a>, Malformed> {
        let (reason, properties) = decode_optional(version, PacketType::Disconnect, reader)?;
        if from_server && properties.find(PropertyId::SessionExpiryInterval).is_some() {
            return Err(Malformed::protocol(
                "a session expiry interval from a server",
            ));
        }
        if !from_server && properties.find(PropertyId::ServerReference).is_some() {
            return Err(Malformed::protocol("a server reference from a client"));
        }
        Ok(Disconnect { reason, properties })
    }

    /// Writes the whole packet, in its shortest form.
    pub fn encode(&self, version: Version, out: &mut impl Put) {
        encode_optional(
            version,
            PacketType::Disconnect,
            self.reason,
            self.properties,
            out,
        );
    }
}

/// A step of extended authentication.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auth<'a> {
    /// Success, Continue authentication or Re-authenticate.
    pub reason: ReasonCode,
    /// Properties.
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    pub(super) fn decode(version: Version, reader: Reader<'a>) -> Result<Auth<'a>, Malformed> {
        let (reason, properties) = decode_optional(version, PacketType::Auth, reader)?;
        Ok(Auth { reason, properties })
    }

    /// Writes the whole packet, in its shortest form.
    pub fn encode(&self, out: &mut impl Put) {
        encode_optional(
            Version::V5,
            PacketType::Auth,
            self.reason,
            self.properties,
            out,
        );
    }
}

/// Reads a body of which everything may be left out: a reason code and properties.
fn decode_optional(
    version: Version,
    packet: PacketType,
    mut reader: Reader<'_>,
) -> Result<(ReasonCode, Properties<'_>), Malformed> {
    if version != Version::V5 || reader.is_empty() {
        reader.end()?;
        return Ok((ReasonCode::SUCCESS, Properties::default()));
    }
    let reason = ReasonCode(reader.u8()?);
    if !reason.fits(packet) {
        return Err(Malformed::protocol(
            "a reason code that does not belong to the packet",
        ));
    }
    let properties = if reader.is_empty() {
        Properties::default()
    } else {
        Properties::read(&mut reader, packet)?
    };
    reader.end()?;
    Ok((reason, properties))
}

fn encode_optional(
    version: Version,
    packet: PacketType,
    reason: ReasonCode,
    properties: Properties<'_>,
    out: &mut impl Put,
) {
    out.put_u8((packet as u8) << 4);
    if version != Version::V5 || reason == ReasonCode::SUCCESS && properties.is_empty() {
        out.put_u8(0);
        return;
    }
    let with_properties = !properties.is_empty();
    out.put_var_int(
        1 + if with_properties {
            properties.encoded_len()
        } else {
            0
        },
    );
    out.put_u8(reason.0);
    if with_properties {
        properties.encode(out);
    }
}
