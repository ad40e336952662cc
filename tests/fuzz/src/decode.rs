//! One packet, in every version and both directions: what decodes can be encoded, and decodes to
//! the same again; the naive codec of `tests/common` takes and refuses the same packets.

use super::common::decode::{From, decode as naive};
use super::common::packet::Version as NaiveVersion;
use midge::wire::{
    Connect, FixedHeader, Packet, PacketType, Plain, Subscribe, SubscribeFilter, Unsubscribe,
    Version,
};

pub fn run(data: &[u8]) {
    let Ok(Some(header)) = FixedHeader::read(data) else {
        return;
    };
    for len in 0..usize::from(header.len) {
        assert_eq!(FixedHeader::read(&data[..len]), Ok(None), "a part of it");
    }
    let Some(packet) = data.get(..header.total()) else {
        return;
    };
    let body = &packet[usize::from(header.len)..];
    if header.packet_type() == Ok(PacketType::Connect) {
        return connect(header, packet, body);
    }
    for version in [Version::V31, Version::V311, Version::V5] {
        for is_from_server in [false, true] {
            one(version, header, packet, is_from_server);
        }
    }
}

/// CONNECT says its version itself.
fn connect(header: FixedHeader, packet: &[u8], body: &[u8]) {
    let Ok(connect) = Connect::decode(header.first, body) else {
        return;
    };
    let twin = naive(naive_version(connect.version), From::Client, packet);
    // Whether the Remaining Length takes more bytes than it needs is not looked at here.
    if !is_padded(header) {
        assert!(twin.is_ok(), "{twin:?}: {connect:?}");
    }
    let mut out = Vec::new();
    connect.encode(&mut out);
    let (header, body) = split(&out);
    assert_eq!(Connect::decode(header.first, body), Ok(connect));
}

fn one(version: Version, header: FixedHeader, packet: &[u8], is_from_server: bool) {
    let Ok(packet_type) = header.packet_type() else {
        return;
    };
    let may_come = match is_from_server {
        true => packet_type.comes_from_server(),
        false => packet_type.comes_from_client(),
    };
    if !may_come {
        return;
    }
    let body = &packet[usize::from(header.len)..];
    let decoded = Packet::decode(version, header, body, is_from_server);
    let plain = Plain::read(version, packet).filter(Plain::has_ascii_topic);
    if let (Some(plain), false) = (plain, is_from_server) {
        // The short way comes to what the long way comes to.
        assert_eq!(decoded, Ok(Packet::Publish(plain.publish())));
        assert_eq!(plain.packet, packet);
    }
    let is_good = decoded.is_ok_and(|packet| are_filters_good(&packet));
    let from = match is_from_server {
        true => From::Server,
        false => From::Client,
    };
    let twin = naive(naive_version(version), from, packet);
    let shown = || format!("{version:?} {from:?} {packet:02x?}: {decoded:?} {twin:?}");
    assert_eq!(is_good, matches!(twin, Ok(Some(_))), "{}", shown());
    if let (true, Ok(decoded)) = (is_good, decoded) {
        let mut out = Vec::new();
        encode(version, &decoded, &mut out);
        let (header, body) = split(&out);
        let again = Packet::decode(version, header, body, is_from_server);
        let again = again.expect("what was encoded decodes");
        let mut twice = Vec::new();
        encode(version, &again, &mut twice);
        assert_eq!(out, twice, "{decoded:?} became {again:?}");
        let same = naive(naive_version(version), from, &out);
        if !is_reordered(&decoded) {
            assert_eq!(same.map(|p| p.map(|p| p.0)), twin.map(|p| p.map(|p| p.0)));
        }
    }
}

/// PUBLISH is forwarded with the connection's own properties in front.
fn is_reordered(packet: &Packet<'_>) -> bool {
    matches!(packet, Packet::Publish(publish) if !publish.properties.is_empty())
}

fn are_filters_good(packet: &Packet<'_>) -> bool {
    match packet {
        Packet::Subscribe(subscribe) => subscribe.filters().all(|filter| filter.is_ok()),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.filters().all(|filter| filter.is_ok()),
        _ => true,
    }
}

fn encode(version: Version, packet: &Packet<'_>, out: &mut Vec<u8>) {
    match packet {
        Packet::ConnAck(ack) => ack.encode(version, out),
        Packet::Publish(publish) => {
            // Decoded, all properties stand in one place; encoded, these have fields of their own.
            let forwarded: Vec<u8> = publish.forwarded().flatten().copied().collect();
            let own = midge::wire::Properties::from_encoded(&forwarded);
            let mut publish = *publish;
            publish.properties = own;
            let len = publish.encoded_len(version);
            publish.encode(version, out);
            assert_eq!(out.len(), len, "the length that was announced");
        }
        Packet::PubAck(ack) => ack.encode(version, PacketType::PubAck, out),
        Packet::PubRec(ack) => ack.encode(version, PacketType::PubRec, out),
        Packet::PubRel(ack) => ack.encode(version, PacketType::PubRel, out),
        Packet::PubComp(ack) => ack.encode(version, PacketType::PubComp, out),
        Packet::Subscribe(subscribe) => {
            let filters: Vec<SubscribeFilter<'_>> = subscribe.filters().flatten().collect();
            let (id, properties) = (subscribe.packet_id, subscribe.properties);
            Subscribe::encode(version, id, properties, &filters, out);
        }
        Packet::SubAck(ack) => ack.encode(version, PacketType::SubAck, out),
        Packet::Unsubscribe(unsubscribe) => {
            let filters: Vec<_> = unsubscribe.filters().flatten().map(|f| f.filter).collect();
            let (id, properties) = (unsubscribe.packet_id, unsubscribe.properties);
            Unsubscribe::encode(version, id, properties, &filters, out);
        }
        Packet::UnsubAck(ack) => ack.encode(version, PacketType::UnsubAck, out),
        Packet::PingReq => out.extend([0xc0, 0]),
        Packet::PingResp => out.extend([0xd0, 0]),
        Packet::Disconnect(disconnect) => disconnect.encode(version, out),
        Packet::Auth(auth) => auth.encode(out),
    }
}

fn split(packet: &[u8]) -> (FixedHeader, &[u8]) {
    let header = FixedHeader::read(packet).expect("our own header");
    let header = header.expect("a whole header");
    assert_eq!(header.total(), packet.len(), "the length that it says");
    (header, &packet[usize::from(header.len)..])
}

/// Whether the Remaining Length takes more bytes than it needs.
fn is_padded(header: FixedHeader) -> bool {
    usize::from(header.len) != 1 + midge::wire::var_int_len(header.remaining as usize)
}

pub fn naive_version(version: Version) -> NaiveVersion {
    match version {
        Version::V31 => NaiveVersion::V31,
        Version::V311 => NaiveVersion::V311,
        Version::V5 => NaiveVersion::V5,
    }
}
