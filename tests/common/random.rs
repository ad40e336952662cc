//! Random packets, well formed and near misses, for comparing two codecs.

use fastrand::Rng;

use super::decode::{From, codes};
use super::packet::*;
use super::property::{Kind, Place, Property, TABLE, Value};

/// A well-formed packet that this side may send in this version.
pub fn packet(rng: &mut Rng, version: Version, from: From) -> Packet {
    let v5 = version == Version::V5;
    let ack_codes = |rng: &mut Rng, list: &[u8]| if v5 { *choose(rng, list) } else { 0 };
    let common = [3, 4, 5, 6, 7, 14];
    let kind = match from {
        From::Client => *choose(rng, &[&common[..], &[1, 1, 8, 10, 12]].concat()),
        From::Server => *choose(rng, &[&common[..], &[2, 9, 11, 13]].concat()),
    };
    let kind = if v5 && rng.u8(..16) == 0 { 15 } else { kind };
    let ack = |rng: &mut Rng, list: &[u8]| {
        let code = ack_codes(rng, list);
        Ack {
            packet_id: id(rng),
            code,
            properties: properties(rng, version, Place::Ack),
        }
    };
    match kind {
        1 => Packet::Connect(connect(rng, version)),
        2 => Packet::ConnAck(ConnAck {
            session_present: rng.bool(),
            code: if v5 {
                *choose(rng, codes::CONNACK)
            } else {
                rng.u8(..6)
            },
            properties: properties(rng, version, Place::ConnAck),
        }),
        3 => Packet::Publish(publish(rng, version, from)),
        4 => Packet::PubAck(ack(rng, codes::PUBACK)),
        5 => Packet::PubRec(ack(rng, codes::PUBACK)),
        6 => Packet::PubRel(ack(rng, codes::PUBREL)),
        7 => Packet::PubComp(ack(rng, codes::PUBREL)),
        8 => Packet::Subscribe(subscribe(rng, version)),
        9 => Packet::SubAck(SubAck {
            packet_id: id(rng),
            properties: properties(rng, version, Place::SubAck),
            codes: several(rng, |rng| {
                *choose(rng, if v5 { codes::SUBACK } else { &[0, 1, 2, 0x80] })
            }),
        }),
        10 => Packet::Unsubscribe(Unsubscribe {
            packet_id: id(rng),
            properties: properties(rng, version, Place::Unsubscribe),
            filters: several(rng, text),
        }),
        11 => Packet::UnsubAck(SubAck {
            packet_id: id(rng),
            properties: properties(rng, version, Place::SubAck),
            codes: if v5 {
                several(rng, |rng| *choose(rng, codes::UNSUBACK))
            } else {
                vec![]
            },
        }),
        12 => Packet::PingReq,
        13 => Packet::PingResp,
        14 => {
            let place = if from == From::Client {
                Place::DisconnectIn
            } else {
                Place::DisconnectOut
            };
            let code = ack_codes(rng, codes::DISCONNECT);
            Packet::Disconnect(Disconnect {
                code,
                properties: properties(rng, version, place),
            })
        }
        _ => {
            let properties = properties(rng, version, Place::Auth);
            Packet::Auth(Auth {
                code: *choose(rng, codes::AUTH),
                properties,
            })
        }
    }
}

fn connect(rng: &mut Rng, version: Version) -> Connect {
    let mut connect = Connect::new(version, &text(rng));
    if version != Version::V5 && rng.u8(..4) == 0 {
        connect.protocol_level |= 0x80;
    }
    connect.clean_start = rng.bool();
    connect.keep_alive_s = rng.u16(..);
    connect.properties = properties(rng, version, Place::Connect);
    if rng.bool() {
        connect.will = Some(Will {
            qos: rng.u8(..3),
            retain: rng.bool(),
            properties: properties(rng, version, Place::Will),
            topic: topic(rng),
            payload: bytes(rng),
        });
    }
    connect.user_name = rng.bool().then(|| text(rng));
    if connect.user_name.is_some() || version == Version::V5 {
        connect.password = rng.bool().then(|| bytes(rng));
    }
    connect
}

fn publish(rng: &mut Rng, version: Version, from: From) -> Publish {
    let qos = rng.u8(..3);
    let place = if from == From::Client {
        Place::PublishIn
    } else {
        Place::PublishOut
    };
    let properties = properties(rng, version, place);
    let has_alias = properties
        .iter()
        .any(|p| matches!(p, Property::TopicAlias(_)));
    Publish {
        dup: qos > 0 && rng.bool(),
        qos,
        retain: rng.bool(),
        topic: if has_alias && rng.bool() {
            String::new()
        } else {
            topic(rng)
        },
        packet_id: if qos > 0 { id(rng) } else { 0 },
        properties,
        payload: if rng.u8(..20) == 0 {
            vec![7; rng.usize(..20_000)]
        } else {
            bytes(rng)
        },
    }
}

fn subscribe(rng: &mut Rng, version: Version) -> Subscribe {
    let options = |rng: &mut Rng| match version {
        Version::V5 => rng.u8(..3) | rng.u8(..4) << 2 | rng.u8(..3) << 4,
        _ => rng.u8(..3),
    };
    Subscribe {
        packet_id: id(rng),
        properties: properties(rng, version, Place::Subscribe),
        filters: several(rng, |rng| (text(rng), options(rng))),
    }
}

fn properties(rng: &mut Rng, version: Version, place: Place) -> Vec<Property> {
    let mut list = Vec::new();
    if version != Version::V5 || rng.bool() {
        return list;
    }
    for row in TABLE.iter().filter(|row| row.places.contains(&place)) {
        let many = row.kind == Kind::Pair || (row.id == 0x0B && place == Place::PublishOut);
        for _ in 0..rng.usize(..if many { 4 } else { 2 }) {
            list.extend(property(rng, row.id, row.kind));
        }
    }
    rng.shuffle(&mut list);
    let is_method = |p: &Property| matches!(p, Property::AuthenticationMethod(_));
    if !list.iter().any(is_method) {
        list.retain(|p| !matches!(p, Property::AuthenticationData(_)));
    }
    list
}

/// A property with a value that its own rules allow, or none if the dice made a bad one.
fn property(rng: &mut Rng, id: u8, kind: Kind) -> Option<Property> {
    let value = match kind {
        Kind::Byte => Value::Number(u32::from(rng.bool())),
        Kind::TwoBytes => Value::Number(u32::from(rng.u16(..))),
        Kind::FourBytes => Value::Number(rng.u32(..)),
        Kind::VarInt => Value::Number(rng.u32(..268_435_456) >> rng.u8(..28)),
        Kind::Text if id == 0x08 => Value::Text(topic(rng)),
        Kind::Text => Value::Text(text(rng)),
        Kind::Binary => Value::Binary(bytes(rng)),
        Kind::Pair => Value::Pair(text(rng), text(rng)),
    };
    Property::from_parts(id, value).filter(|property| property.check().is_ok())
}

fn id(rng: &mut Rng) -> u16 {
    rng.u16(1..)
}

/// Text of few characters, ASCII and beyond; levels and wildcards are frequent.
pub fn text(rng: &mut Rng) -> String {
    let alphabet = [
        'a', 'b', 'Z', '/', '/', '+', '#', '$', ' ', 'é', '日', '\u{FEFF}', '😀',
    ];
    (0..rng.usize(..8))
        .map(|_| *choose(rng, &alphabet))
        .collect()
}

/// A topic name: not empty, without wildcards.
pub fn topic(rng: &mut Rng) -> String {
    let name: String = text(rng).chars().filter(|c| !"+#".contains(*c)).collect();
    if name.is_empty() {
        "t".to_string()
    } else {
        name
    }
}

fn bytes(rng: &mut Rng) -> Vec<u8> {
    (0..rng.usize(..12)).map(|_| rng.u8(..)).collect()
}

fn several<T>(rng: &mut Rng, mut one: impl FnMut(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(1..4)).map(|_| one(rng)).collect()
}

pub fn choose<'a, T>(rng: &mut Rng, list: &'a [T]) -> &'a T {
    &list[rng.usize(..list.len())]
}

/// Damages a packet in one or two places of its body, now and then in its first byte.
pub fn damage(rng: &mut Rng, packet: &mut (u8, Vec<u8>)) {
    let (first, body) = packet;
    for _ in 0..rng.usize(1..3) {
        let at = rng.usize(..=body.len());
        match rng.u8(..8) {
            0 => *first ^= 1 << rng.u8(..8),
            1 => body.truncate(at),
            2 => body.insert(at, rng.u8(..)),
            3 if at < body.len() => drop(body.remove(at)),
            4 => body.push(0),
            _ if at < body.len() => body[at] = *choose(rng, &[0, 1, 2, 3, 0x7F, 0x80, 0xFF, b'#']),
            _ => {}
        }
    }
}
