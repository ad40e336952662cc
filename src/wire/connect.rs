//! CONNECT (section 3.1): the packet that says which version the rest of the connection speaks.

use super::{Malformed, PacketType, Properties, PropertyId, Put, QoS, Reader, ReasonCode, Version};

/// What a client asks for when it connects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Connect<'a> {
    /// The version it speaks.
    pub version: Version,
    /// Set by a bridge of Mosquitto's (bit 0x80 of the protocol level).
    pub is_bridge: bool,
    /// Clean Start (5.0) or Clean Session (3.x).
    pub clean_start: bool,
    /// Keep Alive in seconds; 0 turns it off.
    pub keep_alive_s: u16,
    /// Properties; none before 5.0.
    pub properties: Properties<'a>,
    /// Client Identifier, possibly empty.
    pub client_id: &'a str,
    /// The will, if any.
    pub will: Option<Will<'a>>,
    /// User Name.
    pub username: Option<&'a str>,
    /// Password, any bytes.
    pub password: Option<&'a [u8]>,
}

/// The message to publish when the connection ends without a good bye.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Will<'a> {
    /// Will QoS.
    pub qos: QoS,
    /// Will Retain.
    pub retain: bool,
    /// Will Properties; none before 5.0.
    pub properties: Properties<'a>,
    /// Will Topic, without wildcards.
    pub topic: &'a str,
    /// Will Payload.
    pub payload: &'a [u8],
}

/// A CONNECT that is not accepted, with the version if it could be read, so that the answer can be
/// given in the right form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectError {
    /// The version whose CONNACK the client understands.
    pub version: Option<Version>,
    /// What is wrong.
    pub malformed: Malformed,
}

const USERNAME: u8 = 0x80;
const PASSWORD: u8 = 0x40;
const WILL_RETAIN: u8 = 0x20;
const WILL_QOS_SHIFT: u8 = 3;
const WILL: u8 = 0x04;
const CLEAN_START: u8 = 0x02;
const RESERVED: u8 = 0x01;
const BRIDGE: u8 = 0x80;

impl<'a> Connect<'a> {
    /// Decodes the body of a CONNECT with the first byte `first`.
    pub fn decode(first: u8, body: &'a [u8]) -> Result<Connect<'a>, ConnectError> {
        let unknown = |malformed| ConnectError {
            version: None,
            malformed,
        };
        if first != 0x10 {
            return Err(unknown(Malformed::packet(
                "reserved bits in the fixed header are set",
            )));
        }
        let mut reader = Reader::new(body);
        let (version, is_bridge) = read_version(&mut reader)?;
        Connect::decode_rest(version, is_bridge, reader).map_err(|malformed| ConnectError {
            version: Some(version),
            malformed,
        })
    }

    fn decode_rest(
        version: Version,
        is_bridge: bool,
        mut reader: Reader<'a>,
    ) -> Result<Connect<'a>, Malformed> {
        let flags = reader.u8()?;
        check_flags(version, flags)?;
        let keep_alive_s = reader.u16()?;
        let properties = match version {
            Version::V5 => Properties::read(&mut reader, PacketType::Connect)?,
            _ => Properties::default(),
        };
        let client_id = reader.name()?;
        let will = match flags & WILL {
            0 => None,
            _ => Some(Will::decode(version, flags, &mut reader)?),
        };
        // In MQTT 3.1 the Remaining Length overrules the flags for user name and password.
        let is_cut = version == Version::V31 && reader.is_empty();
        let username = if flags & USERNAME == 0 || is_cut {
            None
        } else {
            Some(reader.name()?)
        };
        let is_cut = version == Version::V31 && reader.is_empty();
        let password = if flags & PASSWORD == 0 || is_cut {
            None
        } else {
            Some(reader.binary()?)
        };
        reader.end()?;
        Ok(Connect {
            version,
            is_bridge,
            clean_start: flags & CLEAN_START != 0,
            keep_alive_s,
            properties,
            client_id,
            will,
            username,
            password,
        })
    }

    /// Writes the whole packet.
    pub fn encode(&self, out: &mut impl Put) {
        let (name, v5) = match self.version {
            Version::V31 => (&b"MQIsdp"[..], false),
            Version::V311 => (&b"MQTT"[..], false),
            Version::V5 => (&b"MQTT"[..], true),
        };
        let properties_len = |p: &Properties<'_>| if v5 { p.encoded_len() } else { 0 };
        let mut len = 2 + name.len() + 1 + 1 + 2;
        len += properties_len(&self.properties) + 2 + self.client_id.len();
        let mut flags = if self.clean_start { CLEAN_START } else { 0 };
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << WILL_QOS_SHIFT;
            flags |= if will.retain { WILL_RETAIN } else { 0 };
            len += properties_len(&will.properties) + 4 + will.topic.len() + will.payload.len();
        }
        if let Some(username) = self.username {
            flags |= USERNAME;
            len += 2 + username.len();
        }
        if let Some(password) = self.password {
            flags |= PASSWORD;
            len += 2 + password.len();
        }
        out.put_u8(0x10);
        out.put_var_int(len);
        out.put_field(name);
        out.put_u8(self.version as u8 | if self.is_bridge { BRIDGE } else { 0 });
        out.put_u8(flags);
        out.put_u16(self.keep_alive_s);
        if v5 {
            self.properties.encode(out);
        }
        out.put_field(self.client_id.as_bytes());
        if let Some(will) = &self.will {
            if v5 {
                will.properties.encode(out);
            }
            out.put_field(will.topic.as_bytes());
            out.put_field(will.payload);
        }
        if let Some(username) = self.username {
            out.put_field(username.as_bytes());
        }
        if let Some(password) = self.password {
            out.put_field(password);
        }
    }

    /// Receive Maximum; 65,535 when absent.
    pub fn receive_maximum(&self) -> u16 {
        self.properties
            .integer(PropertyId::ReceiveMaximum)
            .map_or(u16::MAX, |v| v as u16)
    }
}

fn read_version(reader: &mut Reader<'_>) -> Result<(Version, bool), ConnectError> {
    let error = |version, malformed| ConnectError { version, malformed };
    let unsupported = Malformed {
        reason: ReasonCode::UNSUPPORTED_PROTOCOL_VERSION,
        what: "unknown protocol name or version",
    };
    let name = reader
        .binary()
        .map_err(|malformed| error(None, malformed))?;
    let level = reader.u8().map_err(|malformed| error(None, malformed))?;
    match (name, level & !BRIDGE) {
        (b"MQIsdp", 3) => Ok((Version::V31, level & BRIDGE != 0)),
        (b"MQTT", 4) => Ok((Version::V311, level & BRIDGE != 0)),
        // A bridge of MQTT 5.0 has options of its own for what the bit asks for.
        (b"MQTT", 5) if level & BRIDGE == 0 => Ok((Version::V5, false)),
        // Told in the oldest form, which every client reads.
        (b"MQTT" | b"MQIsdp", _) => Err(error(Some(Version::V311), unsupported)),
        _ => Err(error(None, unsupported)),
    }
}

fn check_flags(version: Version, flags: u8) -> Result<(), Malformed> {
    if flags & RESERVED != 0 && version != Version::V31 {
        return Err(Malformed::packet("the reserved connect flag is set"));
    }
    // MQTT 3.1 disregards them without a will.
    let is_strict = version != Version::V31;
    if is_strict && flags & WILL == 0 && flags & (WILL_RETAIN | 3 << WILL_QOS_SHIFT) != 0 {
        return Err(Malformed::packet("will QoS or will retain without a will"));
    }
    if flags & PASSWORD != 0 && flags & USERNAME == 0 && version != Version::V5 {
        return Err(Malformed::packet("a password without a user name"));
    }
    Ok(())
}

impl<'a> Will<'a> {
    fn decode(version: Version, flags: u8, reader: &mut Reader<'a>) -> Result<Will<'a>, Malformed> {
        let qos = QoS::from_bits(flags >> WILL_QOS_SHIFT & 3)
            .ok_or(Malformed::packet("a will QoS of 3"))?;
        let properties = match version {
            Version::V5 => Properties::read_will(reader)?,
            _ => Properties::default(),
        };
        let topic = reader.name()?;
        if topic.is_empty() || memchr::memchr2(b'+', b'#', topic.as_bytes()).is_some() {
            return Err(Malformed {
                reason: ReasonCode::TOPIC_NAME_INVALID,
                what: "a will topic that is empty or holds a wildcard",
            });
        }
        let payload = reader.binary()?;
        Ok(Will {
            qos,
            retain: flags & WILL_RETAIN != 0,
            properties,
            topic,
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The document's CONNECT: clean session, Keep Alive 60, a client id of 19 bytes.
    #[test]
    fn the_connect_of_the_walk_through_is_31_bytes_long() {
        let connect = Connect {
            version: Version::V311,
            is_bridge: false,
            clean_start: true,
            keep_alive_s: 60,
            properties: Properties::default(),
            client_id: "mosqsub|1996-202-15",
            will: None,
            username: None,
            password: None,
        };
        let mut out = Vec::new();
        connect.encode(&mut out);
        assert_eq!(&out[..12], b"\x10\x1f\0\x04MQTT\x04\x02\0\x3c");
        assert_eq!(out.len(), 2 + 31);
        assert_eq!(Connect::decode(out[0], &out[2..]), Ok(connect));
    }

    #[test]
    fn flags_of_a_will_without_a_will_count_from_3_1_1_on() {
        for flags in [0x08, 0x10, 0x18, 0x20, 0x3a] {
            for (name, level) in [("MQIsdp", 3), ("MQTT", 4), ("MQTT", 5)] {
                let mut body = vec![0, name.len() as u8];
                body.extend_from_slice(name.as_bytes());
                body.extend_from_slice(&[level, flags, 0, 60]);
                // No properties.
                body.extend_from_slice(if level == 5 { &[0] } else { &[] });
                body.extend_from_slice(&[0, 2, b'm', b'e']);
                let connect = Connect::decode(0x10, &body);
                assert_eq!(connect.is_ok(), level == 3, "{flags:#x} {level}");
                assert!(connect.is_err() || connect.unwrap().will.is_none());
            }
        }
    }

    #[test]
    fn a_version_that_is_too_new_is_told_in_the_oldest_form() {
        let error = Connect::decode(0x10, b"\0\x04MQTT\x07\x02\0\0\0\0").unwrap_err();
        assert_eq!(
            error.malformed.reason,
            ReasonCode::UNSUPPORTED_PROTOCOL_VERSION
        );
        assert_eq!(error.version, Some(Version::V311));
    }
}
