//! Bytes to packets, naively: the body is copied out, then each field is taken off its front.
//!
//! It refuses everything that the specification calls malformed in a single packet. What needs
//! more than the packet to be judged (aliases, packet identifiers in use, filters) it leaves to
//! the caller.

use super::packet::*;
use super::property::{Kind, Place, Property, Value, row};

/// What is wrong with a packet.
pub type Bad = &'static str;

/// Who sent the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

/// Takes the first packet off `bytes`: the packet and its length, or `None` if it is not complete.
///
/// `version` is that of the connection; a CONNECT brings its own.
pub fn decode(version: Version, from: From, bytes: &[u8]) -> Result<Option<(Packet, usize)>, Bad> {
    let Some((first, header_len, remaining)) = header(bytes)? else {
        return Ok(None);
    };
    let total = header_len + remaining;
    if bytes.len() < total {
        return Ok(None);
    }
    let mut body = Body {
        rest: bytes[header_len..total].to_vec(),
    };
    let packet = packet(version, from, first, &mut body)?;
    if !body.rest.is_empty() {
        return Err("bytes behind the last field");
    }
    // CONNECT names its version itself, and only 5.0 asks for the shortest length.
    let shortest = super::encode::var_int(remaining as u32).len() + 1;
    if header_len != shortest && version_of(&packet, version) == Version::V5 {
        return Err("a Remaining Length longer than needed");
    }
    Ok(Some((packet, total)))
}

fn version_of(packet: &Packet, version: Version) -> Version {
    match packet {
        Packet::Connect(connect) if connect.protocol_level & 0x7F == 5 => Version::V5,
        Packet::Connect(_) => Version::V311,
        _ => version,
    }
}

/// First byte, length of the fixed header, Remaining Length.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, Bad> {
    let Some(&first) = bytes.first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for place in 0..4 {
        let Some(&byte) = bytes.get(1 + place) else {
            return Ok(None);
        };
        remaining += usize::from(byte % 128) * 128_usize.pow(place as u32);
        if byte < 128 {
            return Ok(Some((first, 2 + place, remaining)));
        }
    }
    Err("a Remaining Length of more than four bytes")
}

/// The fields that were not taken yet.
struct Body {
    rest: Vec<u8>,
}

impl Body {
    fn take(&mut self, n: usize) -> Result<Vec<u8>, Bad> {
        if n > self.rest.len() {
            return Err("the packet ends within a field");
        }
        let rest = self.rest.split_off(n);
        Ok(std::mem::replace(&mut self.rest, rest))
    }

    fn byte(&mut self) -> Result<u8, Bad> {
        Ok(self.take(1)?[0])
    }

    fn two_bytes(&mut self) -> Result<u16, Bad> {
        let b = self.take(2)?;
        Ok(u16::from_be_bytes([b[0], b[1]]))
    }

    fn four_bytes(&mut self) -> Result<u32, Bad> {
        let b = self.take(4)?;
        Ok(u32::from_be_bytes([b[0], b[1], b[2], b[3]]))
    }

    fn var_int(&mut self) -> Result<u32, Bad> {
        let mut value = 0;
        for place in 0..4 {
            let byte = self.byte()?;
            value += u32::from(byte % 128) * 128_u32.pow(place);
            if byte < 128 {
                if super::encode::var_int(value).len() != place as usize + 1 {
                    return Err("a variable byte integer longer than needed");
                }
                return Ok(value);
            }
        }
        Err("a variable byte integer of more than four bytes")
    }

    fn binary(&mut self) -> Result<Vec<u8>, Bad> {
        let n = self.two_bytes()?;
        self.take(usize::from(n))
    }

    fn text(&mut self) -> Result<String, Bad> {
        let text = String::from_utf8(self.binary()?).map_err(|_| "not UTF-8")?;
        if text.contains('\0') {
            return Err("U+0000 in a string");
        }
        Ok(text)
    }

    /// A string that names something: control characters and non-characters, which a receiver may
    /// refuse by section 1.5.4, are refused.
    fn name(&mut self) -> Result<String, Bad> {
        let text = self.text()?;
        let bad = |c: char| {
            let n = c as u32;
            c.is_control()
                || (0xFDD0..=0xFDEF).contains(&n)
                || matches!(n & 0xFFFF, 0xFFFE | 0xFFFF)
        };
        if text.contains(bad) {
            return Err("a control character or non-character in a name");
        }
        Ok(text)
    }

    fn packet_id(&mut self) -> Result<u16, Bad> {
        match self.two_bytes()? {
            0 => Err("packet identifier 0"),
            id => Ok(id),
        }
    }

    fn properties(&mut self, version: Version, place: Place) -> Result<Vec<Property>, Bad> {
        if version != Version::V5 {
            return Ok(Vec::new());
        }
        let length = self.var_int()? as usize;
        let mut field = Body {
            rest: self.take(length)?,
        };
        let mut list: Vec<Property> = Vec::new();
        while !field.rest.is_empty() {
            let property = field.property(place)?;
            let (id, _) = property.parts();
            let many = id == 0x26 || (id == 0x0B && place == Place::PublishOut);
            if !many && list.iter().any(|p| p.parts().0 == id) {
                return Err("a property twice");
            }
            list.push(property);
        }
        let has = |id| list.iter().any(|p| p.parts().0 == id);
        if has(0x16) && !has(0x15) {
            return Err("Authentication Data without a method");
        }
        Ok(list)
    }

    fn property(&mut self, place: Place) -> Result<Property, Bad> {
        let id = self.var_int()?;
        let id = u8::try_from(id).map_err(|_| "an unknown property")?;
        let row = row(id).ok_or("an unknown property")?;
        if !row.places.contains(&place) {
            return Err("a property that this packet does not have");
        }
        let value = match row.kind {
            Kind::Byte => Value::Number(u32::from(self.byte()?)),
            Kind::TwoBytes => Value::Number(u32::from(self.two_bytes()?)),
            Kind::FourBytes => Value::Number(self.four_bytes()?),
            Kind::VarInt => Value::Number(self.var_int()?),
            Kind::Text => Value::Text(self.text()?),
            Kind::Binary => Value::Binary(self.binary()?),
            Kind::Pair => Value::Pair(self.text()?, self.text()?),
        };
        let property = Property::from_parts(id, value).expect("the kind comes from the table");
        property
            .check()
            .map_err(|_| "a value that the property does not have")?;
        Ok(property)
    }
}

fn packet(version: Version, from: From, first: u8, body: &mut Body) -> Result<Packet, Bad> {
    flags(version, first)?;
    let publish_place = if from == From::Client {
        Place::PublishIn
    } else {
        Place::PublishOut
    };
    let ending_place = if from == From::Client {
        Place::DisconnectIn
    } else {
        Place::DisconnectOut
    };
    Ok(match first >> 4 {
        1 => Packet::Connect(connect(body)?),
        2 => Packet::ConnAck(connack(version, body)?),
        3 => Packet::Publish(publish(version, first, publish_place, body)?),
        4 => Packet::PubAck(ack(version, codes::PUBACK, body)?),
        5 => Packet::PubRec(ack(version, codes::PUBACK, body)?),
        6 => Packet::PubRel(ack(version, codes::PUBREL, body)?),
        7 => Packet::PubComp(ack(version, codes::PUBREL, body)?),
        8 => Packet::Subscribe(subscribe(version, body)?),
        9 => Packet::SubAck(suback(version, codes::SUBACK, body)?),
        10 => Packet::Unsubscribe(unsubscribe(version, body)?),
        11 => Packet::UnsubAck(suback(version, codes::UNSUBACK, body)?),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => {
            let (code, properties) = ending(version, codes::DISCONNECT, ending_place, body)?;
            Packet::Disconnect(Disconnect { code, properties })
        }
        15 => {
            let (code, properties) = ending(version, codes::AUTH, Place::Auth, body)?;
            Packet::Auth(Auth { code, properties })
        }
        _ => return Err("packet type 0"),
    })
}

/// The table of flag bits in section 2.1.3 (2.2.2 in 3.1.1).
fn flags(version: Version, first: u8) -> Result<(), Bad> {
    let flags = first & 0x0F;
    let good = match first >> 4 {
        3 => true,
        // MQTT 3.1 has DUP here.
        6 | 8 | 10 if version == Version::V31 => flags & 0x07 == 0x02,
        6 | 8 | 10 => flags == 0x02,
        15 => version == Version::V5 && flags == 0,
        _ => flags == 0,
    };
    if good {
        Ok(())
    } else {
        Err("reserved bits of the fixed header")
    }
}

fn connect(body: &mut Body) -> Result<Connect, Bad> {
    let protocol_name = body.text()?;
    let protocol_level = body.byte()?;
    let version = match (protocol_name.as_str(), protocol_level) {
        ("MQIsdp", 3 | 0x83) => Version::V31,
        ("MQTT", 4 | 0x84) => Version::V311,
        ("MQTT", 5) => Version::V5,
        _ => return Err("an unknown protocol name or level"),
    };
    let flags = body.byte()?;
    let bit = |n: u8| flags & (1 << n) != 0;
    if bit(0) && version != Version::V31 {
        return Err("the reserved connect flag");
    }
    let keep_alive_s = body.two_bytes()?;
    let properties = body.properties(version, Place::Connect)?;
    let client_id = body.name()?;
    let will_qos = flags >> 3 & 3;
    let will = if bit(2) {
        if will_qos == 3 {
            return Err("a will of QoS 3");
        }
        let properties = body.properties(version, Place::Will)?;
        let topic = topic_name(body)?;
        Some(Will {
            qos: will_qos,
            retain: bit(5),
            properties,
            topic,
            payload: body.binary()?,
        })
    } else if version != Version::V31 && (will_qos != 0 || bit(5)) {
        return Err("flags of a will without a will");
    } else {
        None
    };
    if bit(6) && !bit(7) && version != Version::V5 {
        return Err("a password without a user name");
    }
    // In 3.1 the Remaining Length has precedence over the two flags.
    let missing = |body: &Body| version == Version::V31 && body.rest.is_empty();
    let user_name = if bit(7) && !missing(body) {
        Some(body.name()?)
    } else {
        None
    };
    let password = if bit(6) && !missing(body) {
        Some(body.binary()?)
    } else {
        None
    };
    Ok(Connect {
        protocol_name,
        protocol_level,
        clean_start: bit(1),
        keep_alive_s,
        properties,
        client_id,
        will,
        user_name,
        password,
    })
}

fn topic_name(body: &mut Body) -> Result<String, Bad> {
    let topic = body.name()?;
    if topic.is_empty() {
        return Err("an empty topic name");
    }
    if topic.contains(['+', '#']) {
        return Err("wildcards in a topic name");
    }
    Ok(topic)
}

fn connack(version: Version, body: &mut Body) -> Result<ConnAck, Bad> {
    let flags = body.byte()?;
    // In 3.1 the whole byte is reserved and not looked at.
    if flags > 1 && version != Version::V31 {
        return Err("reserved bits in the flags of CONNACK");
    }
    let code = body.byte()?;
    let known = if version == Version::V5 {
        codes::CONNACK.contains(&code)
    } else {
        code <= 5
    };
    if !known {
        return Err("a code that CONNACK does not have");
    }
    let properties = body.properties(version, Place::ConnAck)?;
    Ok(ConnAck {
        session_present: flags & 1 != 0,
        code,
        properties,
    })
}

fn publish(version: Version, first: u8, place: Place, body: &mut Body) -> Result<Publish, Bad> {
    let qos = first >> 1 & 3;
    let dup = first & 0x08 != 0;
    if qos == 3 {
        return Err("QoS 3");
    }
    if dup && qos == 0 {
        return Err("DUP with QoS 0");
    }
    let topic = body.name()?;
    if topic.contains(['+', '#']) {
        return Err("wildcards in a topic name");
    }
    let packet_id = if qos > 0 { body.packet_id()? } else { 0 };
    let properties = body.properties(version, place)?;
    let alias = properties
        .iter()
        .any(|p| matches!(p, Property::TopicAlias(_)));
    if topic.is_empty() && !alias {
        return Err("an empty topic name");
    }
    let payload = std::mem::take(&mut body.rest);
    Ok(Publish {
        dup,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        properties,
        payload,
    })
}

fn ack(version: Version, known: &[u8], body: &mut Body) -> Result<Ack, Bad> {
    let packet_id = body.packet_id()?;
    let (code, properties) = ending(version, known, Place::Ack, body)?;
    Ok(Ack {
        packet_id,
        code,
        properties,
    })
}

/// Reason code and properties at the end of a packet, either of which may be left out.
fn ending(
    version: Version,
    known: &[u8],
    place: Place,
    body: &mut Body,
) -> Result<(u8, Vec<Property>), Bad> {
    if version != Version::V5 || body.rest.is_empty() {
        return Ok((0, Vec::new()));
    }
    let code = body.byte()?;
    if !known.contains(&code) {
        return Err("a reason code that the packet does not have");
    }
    if body.rest.is_empty() {
        return Ok((code, Vec::new()));
    }
    Ok((code, body.properties(version, place)?))
}

fn subscribe(version: Version, body: &mut Body) -> Result<Subscribe, Bad> {
    let packet_id = body.packet_id()?;
    let properties = body.properties(version, Place::Subscribe)?;
    let mut filters = Vec::new();
    while !body.rest.is_empty() {
        let filter = body.name()?;
        let options = body.byte()?;
        let reserved = if version == Version::V5 { 0xC0 } else { 0xFC };
        if options & reserved != 0 || options & 0x03 == 3 || options & 0x30 == 0x30 {
            return Err("reserved bits in the options of a subscription");
        }
        filters.push((filter, options));
    }
    if filters.is_empty() {
        return Err("SUBSCRIBE without a filter");
    }
    Ok(Subscribe {
        packet_id,
        properties,
        filters,
    })
}

fn suback(version: Version, known: &[u8], body: &mut Body) -> Result<SubAck, Bad> {
    let packet_id = body.packet_id()?;
    let properties = body.properties(version, Place::SubAck)?;
    let codes = std::mem::take(&mut body.rest);
    let bare = known == codes::UNSUBACK && version != Version::V5;
    let known = if version == Version::V5 {
        known
    } else {
        &[0, 1, 2, 0x80]
    };
    if codes.is_empty() != bare || codes.iter().any(|code| !known.contains(code)) {
        return Err("codes that the acknowledgement does not have");
    }
    Ok(SubAck {
        packet_id,
        properties,
        codes,
    })
}

fn unsubscribe(version: Version, body: &mut Body) -> Result<Unsubscribe, Bad> {
    let packet_id = body.packet_id()?;
    let properties = body.properties(version, Place::Unsubscribe)?;
    let mut filters = Vec::new();
    while !body.rest.is_empty() {
        filters.push(body.name()?);
    }
    if filters.is_empty() {
        return Err("UNSUBSCRIBE without a filter");
    }
    Ok(Unsubscribe {
        packet_id,
        properties,
        filters,
    })
}

/// The reason codes of each packet, table 2-6.
pub mod codes {
    pub const CONNACK: &[u8] = &[
        0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95,
        0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
    ];
    /// PUBACK and PUBREC.
    pub const PUBACK: &[u8] = &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99];
    /// PUBREL and PUBCOMP.
    pub const PUBREL: &[u8] = &[0x00, 0x92];
    pub const SUBACK: &[u8] = &[
        0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2,
    ];
    pub const UNSUBACK: &[u8] = &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91];
    pub const DISCONNECT: &[u8] = &[
        0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8C, 0x8D, 0x8E, 0x8F, 0x90, 0x93,
        0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
    ];
    pub const AUTH: &[u8] = &[0x00, 0x18, 0x19];
}
