//! Packets as text: one line that names every field, for people who look at what was sent.
//!
//! `PUBLISH 0x32 (QoS 1), Remaining Length 17, Topic 't/a', Packet Identifier 1, Payload 'on' (2
//! bytes)`. Names are the specification's. Text of strangers is escaped and cut, passwords and
//! authentication data are never shown; [`blank_secrets`] takes them out of the bytes as well.
//!
//! Bounds: nothing is allocated; [`TEXT_MAX`] bytes of each text, [`FILTERS_MAX`] filters.

use super::{
    Connect, Filters, FixedHeader, Malformed, Packet, PacketType, Properties, PropertyId, Publish,
    ReasonCode, SubAck, Subscribe, Value, Version,
};
use std::fmt::{self, Write as _};
use std::ops::Range;

/// Bytes that are shown of a topic, a payload or another text.
pub const TEXT_MAX: usize = 128;
/// Filters, codes and properties that are shown of one packet.
pub const FILTERS_MAX: usize = 16;
/// Bytes that are shown of a packet that cannot be decoded.
const RAW_MAX: usize = 24;
/// Of a CONNECT that cannot be decoded the bytes behind these may be a password.
const CONNECT_OPEN: usize = 12;
/// Of an AUTH that cannot be decoded all behind these may be authentication data.
const AUTH_OPEN: usize = 2;

/// A packet to be shown.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What the connection speaks; any before its CONNECT.
    pub version: Version,
    /// The packet from its first byte on, perhaps without its end.
    pub bytes: &'a [u8],
    /// Whether the broker sent it.
    pub from_server: bool,
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ok(Some(header)) = FixedHeader::read(self.bytes) else {
            f.write_str("no MQTT packet: ")?;
            return hex(f, self.bytes);
        };
        let Ok(packet_type) = header.packet_type() else {
            f.write_str("packet type 0 is reserved: ")?;
            return hex(f, self.bytes);
        };
        write!(f, "{} 0x{:02x}", packet_type.name(), header.first)?;
        if packet_type == PacketType::Publish {
            publish_flags(f, header.first)?;
        }
        write!(f, ", Remaining Length {}", header.remaining)?;
        let body = &self.bytes[usize::from(header.len).min(self.bytes.len())..];
        let missing = (header.remaining as usize).saturating_sub(body.len());
        if missing > 0 && packet_type != PacketType::Publish {
            return f.write_str(", too long to be shown");
        }
        match packet_type {
            PacketType::Connect => match Connect::decode(header.first, body) {
                Ok(packet) => connect(f, &packet, body),
                Err(error) => malformed(f, error.malformed, self.open_bytes()),
            },
            _ => match Packet::decode(self.version, header, body, self.from_server) {
                Ok(packet) => show(f, self.version, packet, missing),
                // What is wrong with it may be that its end was not kept.
                Err(_) if missing > 0 => f.write_str(", too long to be shown"),
                Err(error) => malformed(f, error, self.open_bytes()),
            },
        }
    }
}

impl<'a> View<'a> {
    /// What may be shown of a packet that cannot be decoded.
    fn open_bytes(&self) -> &'a [u8] {
        match self.bytes.first().map(|first| first >> 4) {
            Some(kind @ (1 | 15)) => &self.bytes[..self.bytes.len().min(open_len(kind))],
            _ => self.bytes,
        }
    }
}

/// How many bytes of a CONNECT (1) or AUTH (15) that cannot be decoded may be shown.
fn open_len(kind: u8) -> usize {
    if kind == 1 { CONNECT_OPEN } else { AUTH_OPEN }
}

/// Puts an `x` in place of each byte of passwords and authentication data.
///
/// `packet` begins with its fixed header. Of a CONNECT or AUTH that is cut or cannot be decoded
/// everything goes that might be a secret.
pub fn blank_secrets(packet: &mut [u8]) {
    for range in secrets(packet) {
        packet[range].fill(b'x');
    }
}

fn secrets(packet: &[u8]) -> [Range<usize>; 2] {
    let none = 0..0;
    let Some(kind @ (1 | 15)) = packet.first().map(|first| first >> 4) else {
        return [none.clone(), none];
    };
    let all = [packet.len().min(open_len(kind))..packet.len(), none.clone()];
    let Ok(Some(header)) = FixedHeader::read(packet) else {
        return all;
    };
    let body = &packet[usize::from(header.len)..];
    if body.len() != header.remaining as usize {
        return all;
    }
    let (properties, password) = match kind {
        1 => match Connect::decode(header.first, body) {
            Ok(connect) => (connect.properties, connect.password.unwrap_or_default()),
            Err(_) => return all,
        },
        _ => match Packet::decode(Version::V5, header, body, false) {
            Ok(Packet::Auth(auth)) => (auth.properties, &[][..]),
            _ => return all,
        },
    };
    // The password is the last field.
    let password = packet.len() - password.len()..packet.len();
    let data = properties.iter().find_map(|property| match property {
        super::Property {
            id: PropertyId::AuthenticationData,
            value: Value::Binary(data),
            ..
        } => {
            // Both point into the packet.
            let start = data.as_ptr() as usize - packet.as_ptr() as usize;
            Some(start..start + data.len())
        }
        _ => None,
    });
    [password, data.unwrap_or(none)]
}

fn publish_flags(f: &mut fmt::Formatter<'_>, first: u8) -> fmt::Result {
    write!(f, " (QoS {}", first >> 1 & 3)?;
    if first & 0x01 != 0 {
        f.write_str(", Retain")?;
    }
    if first & 0x08 != 0 {
        f.write_str(", DUP")?;
    }
    f.write_str(")")
}

fn malformed(f: &mut fmt::Formatter<'_>, error: Malformed, bytes: &[u8]) -> fmt::Result {
    write!(f, ", malformed ({error}): ")?;
    hex(f, bytes)
}

fn connect(f: &mut fmt::Formatter<'_>, packet: &Connect<'_>, body: &[u8]) -> fmt::Result {
    let (name, level) = match packet.version {
        Version::V31 => ("MQIsdp", "MQTT 3.1"),
        Version::V311 => ("MQTT", "MQTT 3.1.1"),
        Version::V5 => ("MQTT", "MQTT 5.0"),
    };
    // Behind the name and its length.
    let number = body.get(name.len() + 2).copied().unwrap_or_default();
    let flags = body.get(name.len() + 3).copied().unwrap_or_default();
    write!(f, ", Protocol Name {name}, Version {level} ({number})")?;
    write!(f, ", Connect Flags 0x{flags:02x}")?;
    if packet.clean_start {
        f.write_str(match packet.version {
            Version::V5 => " (Clean Start)",
            _ => " (Clean Session)",
        })?;
    }
    write!(f, ", Keep Alive {}", packet.keep_alive_s)?;
    properties(f, "", packet.properties)?;
    field(f, "Client Identifier", packet.client_id.as_bytes())?;
    if let Some(will) = &packet.will {
        write!(f, ", Will QoS {}", will.qos as u8)?;
        if will.retain {
            f.write_str(", Will Retain")?;
        }
        properties(f, "Will ", will.properties)?;
        field(f, "Will Topic", will.topic.as_bytes())?;
        payload(f, "Will Payload", will.payload, will.payload.len())?;
    }
    if let Some(username) = packet.username {
        field(f, "User Name", username.as_bytes())?;
    }
    if let Some(password) = packet.password {
        write!(f, ", Password ({} bytes, not shown)", password.len())?;
    }
    Ok(())
}

fn show(
    f: &mut fmt::Formatter<'_>,
    version: Version,
    packet: Packet<'_>,
    missing: usize,
) -> fmt::Result {
    match packet {
        Packet::ConnAck(ack) => {
            let session = u8::from(ack.session_present);
            write!(f, ", Session Present {session}")?;
            match version {
                Version::V5 => reason(f, ack.reason)?,
                _ => write!(f, ", Return Code {}", return_code(ack.reason))?,
            }
            properties(f, "", ack.properties)
        }
        Packet::Publish(message) => publish(f, &message, missing),
        Packet::PubAck(ack) | Packet::PubRec(ack) | Packet::PubRel(ack) | Packet::PubComp(ack) => {
            packet_id(f, ack.packet_id)?;
            if version == Version::V5 {
                reason(f, ack.reason)?;
            }
            properties(f, "", ack.properties)
        }
        Packet::Subscribe(request) => subscribe(f, version, &request),
        Packet::Unsubscribe(request) => {
            packet_id(f, request.packet_id)?;
            properties(f, "", request.properties)?;
            filters(f, request.filters(), None)
        }
        Packet::SubAck(ack) | Packet::UnsubAck(ack) => codes(f, version, &ack),
        Packet::PingReq | Packet::PingResp => Ok(()),
        Packet::Disconnect(super::Disconnect {
            reason: code,
            properties: list,
        })
        | Packet::Auth(super::Auth {
            reason: code,
            properties: list,
        }) => {
            if version == Version::V5 {
                reason(f, code)?;
            }
            properties(f, "", list)
        }
    }
}

fn publish(f: &mut fmt::Formatter<'_>, message: &Publish<'_>, missing: usize) -> fmt::Result {
    field(f, "Topic", message.topic)?;
    if message.packet_id != 0 {
        packet_id(f, message.packet_id)?;
    }
    properties(f, "", message.properties)?;
    let len = message.payload.len() + missing;
    payload(f, "Payload", message.payload, len)
}

fn subscribe(f: &mut fmt::Formatter<'_>, version: Version, request: &Subscribe<'_>) -> fmt::Result {
    packet_id(f, request.packet_id)?;
    properties(f, "", request.properties)?;
    filters(f, request.filters(), Some(version))
}

/// `version` is given where filters have options.
fn filters(f: &mut fmt::Formatter<'_>, list: Filters<'_>, version: Option<Version>) -> fmt::Result {
    for (number, filter) in list.enumerate() {
        if number == FILTERS_MAX {
            return f.write_str(", ...");
        }
        let filter = match filter {
            Ok(filter) => filter,
            Err(error) => return write!(f, ", malformed ({error})"),
        };
        field(f, "Topic Filter", filter.filter.as_bytes())?;
        if version.is_some() {
            write!(f, " QoS {}", filter.options.qos as u8)?;
        }
        if version == Some(Version::V5) {
            let options = filter.options;
            if options.no_local {
                f.write_str(" No Local")?;
            }
            if options.retain_as_published {
                f.write_str(" Retain As Published")?;
            }
            write!(f, " Retain Handling {}", options.retain_handling as u8)?;
        }
    }
    Ok(())
}

fn codes(f: &mut fmt::Formatter<'_>, version: Version, ack: &SubAck<'_>) -> fmt::Result {
    packet_id(f, ack.packet_id)?;
    properties(f, "", ack.properties)?;
    for (number, &code) in ack.codes.iter().enumerate() {
        if number == FILTERS_MAX {
            return f.write_str(", ...");
        }
        match (version, code) {
            (Version::V5, code) => reason(f, ReasonCode(code))?,
            (_, 0x80) => f.write_str(", Return Code 0x80 (Failure)")?,
            (_, code) => write!(f, ", Return Code {code} (granted QoS {code})")?,
        }
    }
    Ok(())
}

fn packet_id(f: &mut fmt::Formatter<'_>, packet_id: u16) -> fmt::Result {
    write!(f, ", Packet Identifier {packet_id}")
}

fn reason(f: &mut fmt::Formatter<'_>, reason: ReasonCode) -> fmt::Result {
    write!(f, ", Reason Code 0x{:02x} ({})", reason.0, reason.words())
}

fn return_code(reason: ReasonCode) -> &'static str {
    match reason.0 {
        0 => "0 (accepted)",
        1 => "1 (unacceptable protocol version)",
        2 => "2 (identifier rejected)",
        3 => "3 (server unavailable)",
        4 => "4 (bad user name or password)",
        5 => "5 (not authorized)",
        _ => "unknown",
    }
}

fn properties(f: &mut fmt::Formatter<'_>, whose: &str, list: Properties<'_>) -> fmt::Result {
    if list.is_empty() {
        return Ok(());
    }
    write!(f, ", {whose}Properties")?;
    for (number, property) in list.iter().enumerate() {
        if number == FILTERS_MAX {
            return f.write_str(" ...");
        }
        write!(f, " {} ", property.id.name())?;
        match property.value {
            Value::Integer(value) => write!(f, "{value}")?,
            Value::Text(text) => quoted(f, text.as_bytes())?,
            Value::Binary(data) if property.id == PropertyId::AuthenticationData => {
                write!(f, "({} bytes, not shown)", data.len())?;
            }
            Value::Binary(data) => quoted(f, data)?,
            Value::Pair(name, value) => {
                quoted(f, name.as_bytes())?;
                f.write_str(" ")?;
                quoted(f, value.as_bytes())?;
            }
        }
    }
    Ok(())
}

fn field(f: &mut fmt::Formatter<'_>, name: &str, text: &[u8]) -> fmt::Result {
    write!(f, ", {name} ")?;
    quoted(f, text)
}

fn payload(f: &mut fmt::Formatter<'_>, name: &str, bytes: &[u8], len: usize) -> fmt::Result {
    field(f, name, bytes)?;
    write!(f, " ({len} bytes)")
}

/// Text as it is, what is none as `\xNN`, in single quotes; cut when long.
fn quoted(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("'")?;
    let shown = &bytes[..bytes.len().min(TEXT_MAX)];
    for chunk in shown.utf8_chunks() {
        for letter in chunk.valid().chars() {
            match letter {
                '\'' | '\\' => write!(f, "\\{letter}")?,
                _ if letter.is_control() => write!(f, "{}", letter.escape_default())?,
                _ => f.write_char(letter)?,
            }
        }
        for byte in chunk.invalid() {
            write!(f, "\\x{byte:02x}")?;
        }
    }
    f.write_str(if shown.len() < bytes.len() {
        "...'"
    } else {
        "'"
    })
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    for byte in bytes.iter().take(RAW_MAX) {
        write!(f, "{byte:02x} ")?;
    }
    write!(f, "({} bytes)", bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{ConnAck, QoS, Will};

    fn seen(version: Version, bytes: &[u8], from_server: bool) -> String {
        let view = View {
            version,
            bytes,
            from_server,
        };
        view.to_string()
    }

    fn connect_packet(version: Version, raw: &[u8]) -> Vec<u8> {
        let packet = Connect {
            version,
            is_bridge: false,
            clean_start: true,
            keep_alive_s: 60,
            properties: Properties::from_encoded(raw),
            client_id: "mosqpub|4769-202-15",
            will: Some(Will {
                qos: QoS::AtLeastOnce,
                retain: true,
                properties: Properties::default(),
                topic: "gone",
                payload: b"bye\n",
            }),
            username: Some("bob"),
            password: Some(b"geheim"),
        };
        let mut bytes = Vec::new();
        packet.encode(&mut bytes);
        bytes
    }

    #[test]
    fn the_documents_frames_field_by_field() {
        let v311 = Version::V311;
        let mut connack = Vec::new();
        let answer = ConnAck {
            session_present: false,
            reason: ReasonCode::SUCCESS,
            properties: Properties::default(),
        };
        answer.encode(v311, &mut connack);
        for (bytes, from_server, expected) in [
            (
                &b"\x10\x1f\x00\x04MQTT\x04\x02\x00\x3c\x00\x13mosqsub|1996-202-15"[..],
                false,
                "CONNECT 0x10, Remaining Length 31, Protocol Name MQTT, Version MQTT 3.1.1 (4), \
                 Connect Flags 0x02 (Clean Session), Keep Alive 60, Client Identifier \
                 'mosqsub|1996-202-15'",
            ),
            (
                &connack,
                true,
                "CONNACK 0x20, Remaining Length 2, Session Present 0, Return Code 0 (accepted)",
            ),
            (
                b"\x82\x0f\x00\x01\x00\x0ausr/test/#\x00",
                false,
                "SUBSCRIBE 0x82, Remaining Length 15, Packet Identifier 1, Topic Filter \
                 'usr/test/#' QoS 0",
            ),
            (
                b"\x90\x03\x00\x01\x00",
                true,
                "SUBACK 0x90, Remaining Length 3, Packet Identifier 1, Return Code 0 (granted QoS \
                 0)",
            ),
            (
                b"\x30\x22\x00\x19usr/test/coucou/test/testbonjour",
                true,
                "PUBLISH 0x30 (QoS 0), Remaining Length 34, Topic 'usr/test/coucou/test/test', \
                 Payload 'bonjour' (7 bytes)",
            ),
            (
                b"\x62\x02\x00\x01",
                false,
                "PUBREL 0x62, Remaining Length 2, Packet Identifier 1",
            ),
            (b"\xe0\x00", false, "DISCONNECT 0xe0, Remaining Length 0"),
        ] {
            assert_eq!(seen(v311, bytes, from_server), expected);
        }
    }

    #[test]
    fn properties_have_names_and_secrets_have_none() {
        let mut raw = Vec::new();
        PropertyId::SessionExpiryInterval.encode(Value::Integer(30), &mut raw);
        PropertyId::AuthenticationMethod.encode(Value::Text("m"), &mut raw);
        PropertyId::AuthenticationData.encode(Value::Binary(b"token"), &mut raw);
        PropertyId::UserProperty.encode(Value::Pair("a", "b"), &mut raw);
        let mut bytes = connect_packet(Version::V5, &raw);
        let text = seen(Version::V311, &bytes, false);
        for part in [
            "Version MQTT 5.0 (5), Connect Flags 0xee (Clean Start)",
            "Properties session-expiry-interval 30 authentication-method 'm'",
            "authentication-data (5 bytes, not shown) user-property 'a' 'b', Client Id",
            "Will QoS 1, Will Retain, Will Topic 'gone', Will Payload 'bye\\n' (4 bytes)",
            "User Name 'bob', Password (6 bytes, not shown)",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let len = bytes.len();
        blank_secrets(&mut bytes);
        assert_eq!(bytes.len(), len);
        let packet = Connect::decode(bytes[0], &bytes[2..]).expect("still a CONNECT");
        assert_eq!(packet.password, Some(&b"xxxxxx"[..]));
        let data = packet.properties.find(PropertyId::AuthenticationData);
        assert_eq!(data, Some(Value::Binary(b"xxxxx")));
        assert_eq!(packet.username, Some("bob"));
    }

    #[test]
    fn what_is_cut_or_damaged_keeps_its_secret_too() {
        let whole = connect_packet(Version::V311, &[]);
        let is_hidden = |bytes: &[u8]| {
            let mut blank = bytes.to_vec();
            blank_secrets(&mut blank);
            let has = |text: &[u8]| memchr::memmem::find(text, b"geh").is_some();
            let shown = seen(Version::V311, bytes, false);
            !has(&blank) && !shown.contains("geh") && !shown.contains("67 65 68")
        };
        for end in 1..=whole.len() {
            assert!(is_hidden(&whole[..end]), "cut at {end}");
        }
        let mut random = fastrand::Rng::with_seed(5);
        for _ in 0..3000 {
            let mut bytes = whole.clone();
            // The type byte says that it is one.
            let at = random.usize(1..bytes.len() - 6);
            bytes[at] = random.u8(..);
            let mut blank = bytes.clone();
            blank_secrets(&mut blank);
            let has = |text: &[u8]| memchr::memmem::find(text, b"geheim").is_some();
            assert!(!has(&blank) || Connect::decode(0x10, &bytes[2..]).is_ok());
        }
    }

    /// Whatever is wrong with it: no method, a length that is not its own, no connection before.
    #[test]
    fn a_damaged_auth_shows_nothing_of_its_data() {
        for head in [
            &b"\xf0\x0b\x18\x09\x16\0\x06"[..],
            b"\xf0\x0b\x18\x02\x16\0\x06",
        ] {
            let mut bytes = [head, b"geheim"].concat();
            for version in [Version::V311, Version::V5] {
                let shown = seen(version, &bytes, false);
                assert!(!shown.contains("67") && !shown.contains("ge"), "{shown}");
            }
            blank_secrets(&mut bytes);
            assert_eq!(bytes[2..], [b'x'; 11]);
        }
    }

    #[test]
    fn nothing_that_comes_makes_it_fail_or_long() {
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..20_000 {
            let len = random.usize(..200);
            let mut bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
            for version in [Version::V31, Version::V311, Version::V5] {
                let text = seen(version, &bytes, random.bool());
                assert!(!text.contains('\n'));
            }
            blank_secrets(&mut bytes);
        }
        let cut = b"\x30\xff\xff\x03\x00\x01t0123";
        assert_eq!(
            seen(Version::V311, cut, true),
            "PUBLISH 0x30 (QoS 0), Remaining Length 65535, Topic 't', Payload '0123' (65532 bytes)"
        );
        // Its topic goes on behind what was kept.
        let cut = b"\x30\xff\xff\x03\x20\x00topic";
        assert_eq!(
            seen(Version::V311, cut, true),
            "PUBLISH 0x30 (QoS 0), Remaining Length 65535, too long to be shown"
        );
        let long = [&b"\x30\x7f\x00\x01t"[..], &[b'\'', 0xff], &[b'a'; 122]].concat();
        let text = seen(Version::V311, &long, true);
        assert!(text.contains(r"Payload '\'\xffaaa"), "{text}");
    }
}
