//! Every packet type with every flag, every fault of length and every truncation, against the
//! process. The outcome is the specification's: an answer to the PINGREQ behind the packet, or the
//! end, for which 5.0 has a reason.

use crate::attack::{End, GoodPair, Heard, PINGREQ, Said, Until, hello, predict, talk};
use crate::common::encode::{frame, var_int};
use crate::common::hex;
use crate::common::packet::*;
use crate::harness::Broker;

/// Malformed Packet, Protocol Error, Packet too large.
const MALFORMED: u8 = 0x81;
const PROTOCOL: u8 = 0x82;
const TOO_LARGE: u8 = 0x95;

/// Connections at the same time.
const AT_ONCE: usize = 50;

/// What is to become of a connection that says these bytes behind CONNECT.
struct Case {
    name: String,
    said: Vec<u8>,
    fate: Fate,
}

impl Case {
    fn until(&self, version: Version) -> Until {
        match self.fate {
            Fate::Refused(_) => Until::Closed,
            _ => predict(version, &self.said).until(),
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Fate {
    /// It is a packet like others: what stands behind it is answered.
    Fine,
    /// The end, in 5.0 for one of these reasons.
    Refused(Vec<u8>),
    /// The stream ends within a packet: the broker has nothing to say to that, and may even keep
    /// what it was about to say.
    Cut,
    /// What the naive codec says.
    Twin,
}

fn run(version: Version, cases: Vec<Case>) {
    let broker = Broker::start("max_packet_size 100000\nconnection_messages false");
    let pair = GoodPair::start(&broker);
    let count = cases.len();
    for (n, cases) in cases.chunks(AT_ONCE).enumerate() {
        let streams: Vec<Said> = (cases.iter().enumerate())
            .map(|(k, case)| Said {
                bytes: [&hello(version, n * AT_ONCE + k)[..], &case.said].concat(),
                until: case.until(version),
            })
            .collect();
        for (case, heard) in cases.iter().zip(talk(&broker, version, &streams)) {
            judge(version, case, &heard);
        }
    }
    let messages = pair.finish();
    println!("{version:?}: {count} cases, {messages} messages of the good pair meanwhile");
    assert_eq!(broker.stop().code(), Some(0));
}

fn judge(version: Version, case: &Case, heard: &Heard) {
    let predicted = predict(version, &case.said);
    let fate = match (&case.fate, predicted.end) {
        (Fate::Twin, End::Whole | End::Disconnect) => &Fate::Fine,
        (Fate::Twin, End::Refused) => &Fate::Refused(vec![MALFORMED, PROTOCOL]),
        (Fate::Twin, End::Cut) => &Fate::Cut,
        (fate, _) => fate,
    };
    let shown = || {
        let Heard { packets, .. } = heard;
        format!(
            "{version:?}, {}: {:02x?}: {fate:?}, {packets:?}",
            case.name, case.said
        )
    };
    let is_silent = *fate == Fate::Cut && heard.packets.is_empty();
    assert!(is_silent || heard.connack() == Some(0), "{}", shown());
    match fate {
        Fate::Refused(codes) => {
            assert!(heard.pings() <= predicted.pings, "{}", shown());
            if version == Version::V5 && !heard.is_reset {
                let code = heard.disconnect();
                assert!(
                    code.is_some_and(|code| codes.contains(&code)),
                    "{}",
                    shown()
                );
            }
        }
        Fate::Cut => {
            assert!(heard.pings() <= predicted.pings, "{}", shown());
            assert_eq!(heard.disconnect(), None, "{}", shown());
        }
        Fate::Fine | Fate::Twin => assert_eq!(heard.pings(), predicted.pings, "{}", shown()),
    }
}

/// The good packets of a client behind CONNECT, with their names.
fn good(version: Version) -> Vec<(String, Vec<u8>)> {
    let entries = hex::valid(version).into_iter();
    let good = entries.filter(|entry| entry.is_from_client && entry.bytes[0] >> 4 != 1);
    good.map(|entry| (entry.name, entry.bytes)).collect()
}

/// First byte and body.
fn split(packet: &[u8]) -> (u8, &[u8]) {
    let len = 1 + packet[1..].iter().take_while(|byte| **byte >= 0x80).count();
    (packet[0], &packet[len + 1..])
}

/// A body that fits a type, and for PUBLISH the QoS in its flags.
fn body(version: Version, first: u8) -> Vec<u8> {
    let properties: &[u8] = if version == Version::V5 { &[0] } else { &[] };
    let parts: &[&[u8]] = match first >> 4 {
        1 => return split(&hello(version, 0)).1.to_vec(),
        2 => &[&[0, 0], properties],
        3 if first & 0x06 == 0 => &[b"\0\x01t", properties, b"x"],
        3 => &[b"\0\x01t\0\x07", properties, b"x"],
        4..=7 => &[&[0, 7]],
        8 => &[&[0, 7], properties, b"\0\x01t\0"],
        9 => &[&[0, 7], properties, &[0]],
        10 => &[&[0, 7], properties, b"\0\x01t"],
        11 if version == Version::V5 => &[&[0, 7], properties, &[0]],
        11 => &[&[0, 7]],
        _ => &[],
    };
    parts.concat()
}

/// What the specification says of a first byte: the type's table of flags, and who may send it.
fn fate_of(version: Version, first: u8) -> Fate {
    let (packet_type, flags) = (first >> 4, first & 0x0f);
    let needs_2 = matches!(packet_type, 6 | 8 | 10);
    // 3.1 says DUP when it sends one of these again.
    let has_flags = match packet_type {
        3 => flags & 0x06 != 0x06 && flags & 0x0e != 0x08,
        _ if needs_2 && version == Version::V31 => flags & 0x07 == 2,
        _ if needs_2 => flags == 2,
        _ => flags == 0,
    };
    let is_server_only = matches!(packet_type, 2 | 9 | 11 | 13);
    match packet_type {
        0 => Fate::Refused(vec![MALFORMED]),
        15 if version != Version::V5 => Fate::Refused(vec![MALFORMED]),
        // Not twice, not without a method, not from a client: two faults when the flags are wrong.
        _ if matches!(packet_type, 1 | 15) || is_server_only => match has_flags {
            true => Fate::Refused(vec![PROTOCOL]),
            false => Fate::Refused(vec![MALFORMED, PROTOCOL]),
        },
        _ if has_flags => Fate::Fine,
        _ => Fate::Refused(vec![MALFORMED]),
    }
}

fn types_and_flags(version: Version) -> Vec<Case> {
    let case = |first: u8| Case {
        name: format!("first byte {first:02x}"),
        said: [&frame(first, &body(version, first))[..], &PINGREQ].concat(),
        fate: fate_of(version, first),
    };
    (0..=255).map(case).collect()
}

fn lengths(version: Version) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, packet) in good(version) {
        let (first, body) = split(&packet);
        let mut add = |what: &str, length: &[u8], body: &[u8], fate: Fate| {
            cases.push(Case {
                name: format!("{name}, {what}"),
                said: [&[first], length, body, &PINGREQ].concat(),
                fate,
            });
        };
        let len = body.len() as u32;
        add("one too long", &var_int(len + 1), body, Fate::Twin);
        if len > 0 {
            add("one too short", &var_int(len - 1), body, Fate::Twin);
            add("a length of 0", &[0], body, Fate::Twin);
        }
        let refused = |code| Fate::Refused(vec![code]);
        let five = [0xff, 0xff, 0xff, 0xff, 1];
        add("five bytes of length", &five, body, refused(MALFORMED));
        let huge = [0xff, 0xff, 0xff, 0x7f];
        add("a huge length", &huge, body, refused(TOO_LARGE));
        if first >> 4 != 14 {
            let mut padded = var_int(len);
            *padded.last_mut().unwrap() |= 0x80;
            padded.push(0);
            // Only 5.0 asks for the shortest form.
            let fate = match version {
                Version::V5 => refused(MALFORMED),
                _ => Fate::Fine,
            };
            add("more bytes of length than needed", &padded, body, fate);
        }
        for end in 0..body.len() {
            let what = format!("a body of {end} bytes");
            add(&what, &var_int(end as u32), &body[..end], Fate::Twin);
        }
        let longer = [body, &[0]].concat();
        add(
            "a byte behind the body",
            &var_int(len + 1),
            &longer,
            Fate::Twin,
        );
    }
    cases
}

fn truncations(version: Version) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, packet) in good(version) {
        for end in 1..packet.len() {
            cases.push(Case {
                name: format!("{name}, {end} bytes of it"),
                said: packet[..end].to_vec(),
                fate: Fate::Cut,
            });
        }
    }
    cases
}

/// CONNECT with every flag in its header, every part of a good one, and too long a length.
fn connects(version: Version) {
    let broker = Broker::start("connection_messages false");
    let pair = GoodPair::start(&broker);
    let entries = hex::valid(version).into_iter();
    let good = entries.filter(|entry| entry.is_from_client && entry.bytes[0] >> 4 == 1);
    for entry in good {
        let (_, body) = split(&entry.bytes);
        let is_silent = |streams: Vec<Vec<u8>>, until: Until| {
            let streams = streams.into_iter().map(|bytes| Said { bytes, until });
            for streams in streams.collect::<Vec<_>>().chunks(AT_ONCE) {
                for (heard, said) in talk(&broker, version, streams).iter().zip(streams) {
                    let (bytes, packets) = (&said.bytes, &heard.packets);
                    assert_eq!(packets, &[], "{version:?}, {}: {bytes:02x?}", entry.name);
                }
            }
        };
        // Without a good first byte there is no version to answer in.
        let firsts = (0x11..=0x1f).map(|first| frame(first, body));
        is_silent(firsts.collect(), Until::Closed);
        let parts = (0..entry.bytes.len()).map(|end| entry.bytes[..end].to_vec());
        is_silent(parts.collect(), Until::Said);
        let mut length = var_int(body.len() as u32);
        *length.last_mut().unwrap() |= 0x80;
        let padded = [&[0x10], &length[..], &[0], body].concat();
        let cut = (0..body.len()).map(|end| frame(0x10, &body[..end]));
        let faulty: Vec<Said> = (cut.chain([padded]))
            .map(|packet| {
                let bytes = [&packet[..], &PINGREQ].concat();
                let until = match is_good_connect(version, &bytes) {
                    true => Until::Answered(1),
                    false => Until::Closed,
                };
                Said { bytes, until }
            })
            .collect();
        for streams in faulty.chunks(AT_ONCE) {
            for (heard, said) in talk(&broker, version, streams).iter().zip(streams) {
                let Said { bytes, until } = said;
                let shown = || format!("{}: {bytes:02x?}: {:?}", entry.name, heard.packets);
                let code = heard.connack();
                match (until, version) {
                    (Until::Answered(_), _) => assert!(code.is_some(), "{}", shown()),
                    (_, Version::V5) => {
                        let is_told = code.is_none_or(|c| matches!(c, MALFORMED | PROTOCOL));
                        assert!(is_told, "{}", shown());
                    }
                    _ => assert_ne!(code, Some(0), "{}", shown()),
                }
                assert!(code == Some(0) || heard.pings() == 0, "{}", shown());
            }
        }
    }
    assert!(pair.finish() > 0);
    assert_eq!(broker.stop().code(), Some(0));
}

fn is_good_connect(version: Version, said: &[u8]) -> bool {
    use crate::common::decode::{From, decode};
    matches!(
        decode(version, From::Client, said),
        Ok(Some((Packet::Connect(_), _)))
    )
}

#[test]
fn every_type_with_every_flag() {
    for version in Version::ALL {
        run(version, types_and_flags(version));
    }
}

#[test]
fn every_fault_of_length() {
    for version in Version::ALL {
        run(version, lengths(version));
    }
}

#[test]
fn every_truncation() {
    for version in Version::ALL {
        run(version, truncations(version));
    }
}

#[test]
fn every_fault_of_connect() {
    for version in Version::ALL {
        connects(version);
    }
}
