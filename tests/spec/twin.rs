//! `wire` against its slow twin: the same packets, the same refusals, the same bytes.

use fastrand::Rng;
use midge::wire;

use crate::common::decode::{self, From};
use crate::common::encode::{encode, frame};
use crate::common::packet::*;
use crate::common::property::{self, Property};
use crate::common::random;

const ROUNDS: usize = 20_000;

fn wire_version(version: Version) -> wire::Version {
    match version {
        Version::V31 => wire::Version::V31,
        Version::V311 => wire::Version::V311,
        Version::V5 => wire::Version::V5,
    }
}

/// One whole packet through `wire`, as the twin's type.
fn wire_decode(version: Version, from: From, bytes: &[u8]) -> Result<Packet, wire::Malformed> {
    let header = wire::FixedHeader::read(bytes)?.expect("a whole packet");
    let body = &bytes[usize::from(header.len)..];
    if header.first >> 4 == 1 {
        let connect = wire::Connect::decode(header.first, body).map_err(|e| e.malformed)?;
        return Ok(Packet::Connect(owned_connect(&connect)));
    }
    let from_server = from == From::Server;
    let packet = wire::Packet::decode(wire_version(version), header, body, from_server)?;
    owned(packet)
}

fn owned_connect(connect: &wire::Connect<'_>) -> Connect {
    let version = match connect.version {
        wire::Version::V31 => Version::V31,
        wire::Version::V311 => Version::V311,
        wire::Version::V5 => Version::V5,
    };
    Connect {
        protocol_name: version.protocol_name().to_string(),
        protocol_level: version as u8 | u8::from(connect.is_bridge) << 7,
        clean_start: connect.clean_start,
        keep_alive_s: connect.keep_alive_s,
        properties: list(connect.properties),
        client_id: connect.client_id.to_string(),
        will: connect.will.map(|will| Will {
            qos: will.qos as u8,
            retain: will.retain,
            properties: list(will.properties),
            topic: will.topic.to_string(),
            payload: will.payload.to_vec(),
        }),
        user_name: connect.username.map(str::to_string),
        password: connect.password.map(<[u8]>::to_vec),
    }
}

fn owned(packet: wire::Packet<'_>) -> Result<Packet, wire::Malformed> {
    let ack = |ack: wire::Ack<'_>| Ack {
        packet_id: ack.packet_id,
        code: ack.reason.0,
        properties: list(ack.properties),
    };
    let suback = |ack: wire::SubAck<'_>| SubAck {
        packet_id: ack.packet_id,
        properties: list(ack.properties),
        codes: ack.codes.to_vec(),
    };
    Ok(match packet {
        wire::Packet::ConnAck(p) => Packet::ConnAck(ConnAck {
            session_present: p.session_present,
            code: p.reason.0,
            properties: list(p.properties),
        }),
        wire::Packet::Publish(p) => Packet::Publish(Publish {
            dup: p.dup,
            qos: p.qos as u8,
            retain: p.retain,
            topic: String::from_utf8(p.topic.to_vec()).expect("wire checked it"),
            packet_id: p.packet_id,
            properties: list(p.properties),
            payload: p.payload.to_vec(),
        }),
        wire::Packet::PubAck(p) => Packet::PubAck(ack(p)),
        wire::Packet::PubRec(p) => Packet::PubRec(ack(p)),
        wire::Packet::PubRel(p) => Packet::PubRel(ack(p)),
        wire::Packet::PubComp(p) => Packet::PubComp(ack(p)),
        wire::Packet::Subscribe(p) => Packet::Subscribe(Subscribe {
            packet_id: p.packet_id,
            properties: list(p.properties),
            filters: p
                .filters()
                .map(|f| f.map(|f| (f.filter.to_string(), f.options.to_byte())))
                .collect::<Result<_, _>>()?,
        }),
        wire::Packet::SubAck(p) => Packet::SubAck(suback(p)),
        wire::Packet::Unsubscribe(p) => Packet::Unsubscribe(Unsubscribe {
            packet_id: p.packet_id,
            properties: list(p.properties),
            filters: (p.filters())
                .map(|f| f.map(|f| f.filter.to_string()))
                .collect::<Result<_, _>>()?,
        }),
        wire::Packet::UnsubAck(p) => Packet::UnsubAck(suback(p)),
        wire::Packet::PingReq => Packet::PingReq,
        wire::Packet::PingResp => Packet::PingResp,
        wire::Packet::Disconnect(p) => Packet::Disconnect(Disconnect {
            code: p.reason.0,
            properties: list(p.properties),
        }),
        wire::Packet::Auth(p) => Packet::Auth(Auth {
            code: p.reason.0,
            properties: list(p.properties),
        }),
    })
}

fn list(properties: wire::Properties<'_>) -> Vec<Property> {
    let one = |p: wire::Property<'_>| {
        let value = match p.value {
            wire::Value::Integer(n) => property::Value::Number(n),
            wire::Value::Text(s) => property::Value::Text(s.to_string()),
            wire::Value::Binary(b) => property::Value::Binary(b.to_vec()),
            wire::Value::Pair(k, v) => property::Value::Pair(k.to_string(), v.to_string()),
        };
        Property::from_parts(p.id as u8, value).expect("a property with its own kind of value")
    };
    properties.iter().map(one).collect()
}

/// The packet through `wire`'s decoder and then its encoder.
fn wire_round_trip(version: Version, from: From, bytes: &[u8]) -> Vec<u8> {
    let header = wire::FixedHeader::read(bytes)
        .expect("a header")
        .expect("a whole packet");
    let body = &bytes[usize::from(header.len)..];
    let v = wire_version(version);
    let mut out = Vec::new();
    if header.first >> 4 == 1 {
        wire::Connect::decode(header.first, body)
            .expect("good")
            .encode(&mut out);
        return out;
    }
    let packet = wire::Packet::decode(v, header, body, from == From::Server).expect("good");
    match packet {
        wire::Packet::ConnAck(p) => p.encode(v, &mut out),
        wire::Packet::Publish(p) => {
            let forwarded: Vec<u8> = p.forwarded().flatten().copied().collect();
            let id = p
                .properties
                .integer(wire::PropertyId::SubscriptionIdentifier);
            let publish = wire::Publish {
                subscription_id: id,
                properties: wire::Properties::from_encoded(&forwarded),
                ..p
            };
            publish.encode(v, &mut out);
            assert_eq!(out.len(), publish.encoded_len(v));
        }
        wire::Packet::PubAck(p) => p.encode(v, wire::PacketType::PubAck, &mut out),
        wire::Packet::PubRec(p) => p.encode(v, wire::PacketType::PubRec, &mut out),
        wire::Packet::PubRel(p) => p.encode(v, wire::PacketType::PubRel, &mut out),
        wire::Packet::PubComp(p) => p.encode(v, wire::PacketType::PubComp, &mut out),
        wire::Packet::Subscribe(p) => {
            let filters: Vec<_> = p.filters().map(|f| f.expect("good")).collect();
            wire::Subscribe::encode(v, p.packet_id, p.properties, &filters, &mut out);
        }
        wire::Packet::SubAck(p) => p.encode(v, wire::PacketType::SubAck, &mut out),
        wire::Packet::Unsubscribe(p) => {
            let filters: Vec<_> = p.filters().map(|f| f.expect("good").filter).collect();
            wire::Unsubscribe::encode(v, p.packet_id, p.properties, &filters, &mut out);
        }
        wire::Packet::UnsubAck(p) => p.encode(v, wire::PacketType::UnsubAck, &mut out),
        wire::Packet::PingReq => out.extend([0xC0, 0]),
        wire::Packet::PingResp => out.extend([0xD0, 0]),
        wire::Packet::Disconnect(p) => p.encode(v, &mut out),
        wire::Packet::Auth(p) => p.encode(&mut out),
    }
    out
}

/// In PUBLISH, alias and identifier go to the front, expiry to the end; of several identifiers the
/// first counts.
fn normal(packet: Packet) -> Packet {
    let Packet::Publish(mut publish) = packet else {
        return packet;
    };
    let place = |property: &Property| match property {
        Property::TopicAlias(_) => 0,
        Property::SubscriptionIdentifier(_) => 1,
        Property::MessageExpiryInterval(_) => 3,
        _ => 2,
    };
    publish.properties.sort_by_key(place);
    publish
        .properties
        .dedup_by(|later, first| place(later) != 2 && place(later) == place(first));
    Packet::Publish(publish)
}

#[test]
fn wire_reads_and_writes_what_its_twin_does() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for round in 0..ROUNDS {
        for version in Version::ALL {
            for from in [From::Client, From::Server] {
                let packet = random::packet(&mut rng, version, from);
                let bytes = encode(version, &packet);
                let place = format!("seed {seed}, round {round}, {version:?}, {bytes:02x?}");
                let twin = decode::decode(version, from, &bytes);
                assert_eq!(
                    twin,
                    Ok(Some((packet.clone(), bytes.len()))),
                    "the twin: {place}"
                );
                assert_eq!(
                    wire_decode(version, from, &bytes).as_ref(),
                    Ok(&packet),
                    "{place}"
                );
                let written = wire_round_trip(version, from, &bytes);
                assert_eq!(written, encode(version, &normal(packet)), "{place}");
            }
        }
    }
}

#[test]
fn wire_refuses_what_its_twin_refuses() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for round in 0..ROUNDS {
        for version in Version::ALL {
            for from in [From::Client, From::Server] {
                let packet = random::packet(&mut rng, version, from);
                let bytes = encode(version, &packet);
                let header = wire::FixedHeader::read(&bytes)
                    .expect("good")
                    .expect("whole");
                let mut parts = (bytes[0], bytes[usize::from(header.len)..].to_vec());
                random::damage(&mut rng, &mut parts);
                // CONNECT comes from clients only, and is the only one that names its version.
                if parts.0 >> 4 == 1 && from == From::Server {
                    continue;
                }
                let bytes = frame(parts.0, &parts.1);
                let place = format!("seed {seed}, round {round}, {version:?}, {from:?}");
                let twin = decode::decode(version, from, &bytes);
                let twin = twin.map(|whole| whole.expect("a whole packet").0);
                match (wire_decode(version, from, &bytes), twin) {
                    (Ok(packet), Ok(expected)) => assert_eq!(packet, expected, "{place}"),
                    (Err(_), Err(_)) => {}
                    (fast, slow) => {
                        panic!("{place}: wire {fast:?}, twin {slow:?}, {bytes:02x?}")
                    }
                }
            }
        }
    }
}

#[test]
fn a_window_of_an_encoding_is_a_part_of_it() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    for _ in 0..2000 {
        let Packet::Publish(publish) = random::packet(&mut rng, Version::V5, From::Server) else {
            continue;
        };
        let wire = wire::Publish {
            qos: wire::QoS::from_bits(publish.qos).expect("0, 1 or 2"),
            topic: publish.topic.as_bytes(),
            packet_id: publish.packet_id,
            payload: &publish.payload,
            ..wire::Publish::default()
        };
        let mut whole = Vec::new();
        wire.encode(wire::Version::V5, &mut whole);
        let skip = rng.usize(..whole.len());
        let mut buffer = vec![0xEE; rng.usize(..whole.len() + 10)];
        let mut window = wire::Window::new(&mut buffer, skip);
        wire.encode(wire::Version::V5, &mut window);
        let len = window.len();
        assert_eq!(len, buffer.len().min(whole.len() - skip), "seed {seed}");
        assert_eq!(buffer[..len], whole[skip..skip + len], "seed {seed}");
        assert!(buffer[len..].iter().all(|&b| b == 0xEE), "seed {seed}");
    }
}
