//! Packets to bytes, naively: every part is a `Vec` of its own, put together at the end.
//!
//! What it writes is canonical: the shortest form that the version allows. It does not check
//! anything, so that tests can also write what the specification forbids.

use super::packet::*;
use super::property::{Kind, Property, Value, row};

/// The whole packet in the given version. A CONNECT names its own version.
pub fn encode(version: Version, packet: &Packet) -> Vec<u8> {
    let (first, body) = body(version, packet);
    frame(first, &body)
}

/// A fixed header of this first byte, and the body behind it.
pub fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first];
    out.extend(var_int(body.len() as u32));
    out.extend_from_slice(body);
    out
}

/// A Variable Byte Integer in as few bytes as possible.
pub fn var_int(mut n: u32) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (n % 128) as u8;
        n /= 128;
        if n == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

/// Binary Data: two bytes of length, then the bytes. Strings look the same.
pub fn binary(bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = (bytes.len() as u16).to_be_bytes().to_vec();
    out.extend_from_slice(bytes);
    out
}

/// A property field: its length, then the properties; nothing at all before 5.0.
pub fn properties(version: Version, list: &[Property]) -> Vec<u8> {
    if version != Version::V5 {
        return Vec::new();
    }
    let inner: Vec<u8> = list.iter().flat_map(property).collect();
    let mut out = var_int(inner.len() as u32);
    out.extend(inner);
    out
}

fn property(property: &Property) -> Vec<u8> {
    let (id, value) = property.parts();
    let kind = row(id).expect("every property has its row").kind;
    let mut out = vec![id];
    match (kind, value) {
        (Kind::Byte, Value::Number(n)) => out.push(n as u8),
        (Kind::TwoBytes, Value::Number(n)) => out.extend((n as u16).to_be_bytes()),
        (Kind::FourBytes, Value::Number(n)) => out.extend(n.to_be_bytes()),
        (Kind::VarInt, Value::Number(n)) => out.extend(var_int(n)),
        (Kind::Text, Value::Text(s)) => out.extend(binary(s)),
        (Kind::Binary, Value::Binary(b)) => out.extend(binary(b)),
        (Kind::Pair, Value::Pair(k, v)) => {
            out.extend(binary(k));
            out.extend(binary(v));
        }
        (kind, value) => unreachable!("{value:?} is no {kind:?}"),
    }
    out
}

fn body(version: Version, packet: &Packet) -> (u8, Vec<u8>) {
    match packet {
        Packet::Connect(connect) => (0x10, connect_body(connect)),
        Packet::ConnAck(p) => {
            let mut out = vec![u8::from(p.session_present), p.code];
            out.extend(properties(version, &p.properties));
            (0x20, out)
        }
        Packet::Publish(p) => {
            let flags = u8::from(p.dup) << 3 | p.qos << 1 | u8::from(p.retain);
            let mut out = binary(&p.topic);
            if p.qos > 0 {
                out.extend(p.packet_id.to_be_bytes());
            }
            out.extend(properties(version, &p.properties));
            out.extend_from_slice(&p.payload);
            (0x30 | flags, out)
        }
        Packet::PubAck(p) => (0x40, ack_body(version, p)),
        Packet::PubRec(p) => (0x50, ack_body(version, p)),
        Packet::PubRel(p) => (0x62, ack_body(version, p)),
        Packet::PubComp(p) => (0x70, ack_body(version, p)),
        Packet::Subscribe(p) => {
            let mut out = p.packet_id.to_be_bytes().to_vec();
            out.extend(properties(version, &p.properties));
            for (filter, options) in &p.filters {
                out.extend(binary(filter));
                out.push(*options);
            }
            (0x82, out)
        }
        Packet::SubAck(p) => (0x90, suback_body(version, p)),
        Packet::Unsubscribe(p) => {
            let mut out = p.packet_id.to_be_bytes().to_vec();
            out.extend(properties(version, &p.properties));
            out.extend(p.filters.iter().flat_map(binary));
            (0xA2, out)
        }
        Packet::UnsubAck(p) => (0xB0, suback_body(version, p)),
        Packet::PingReq => (0xC0, Vec::new()),
        Packet::PingResp => (0xD0, Vec::new()),
        Packet::Disconnect(p) => (0xE0, ending_body(version, p.code, &p.properties)),
        Packet::Auth(p) => (0xF0, ending_body(version, p.code, &p.properties)),
    }
}

fn connect_body(p: &Connect) -> Vec<u8> {
    let version = if p.protocol_level & 0x7F == 5 {
        Version::V5
    } else {
        Version::V311
    };
    let mut flags = u8::from(p.clean_start) << 1;
    if let Some(will) = &p.will {
        flags |= 0x04 | will.qos << 3 | u8::from(will.retain) << 5;
    }
    flags |= u8::from(p.password.is_some()) << 6 | u8::from(p.user_name.is_some()) << 7;

    let mut out = binary(&p.protocol_name);
    out.extend([p.protocol_level, flags]);
    out.extend(p.keep_alive_s.to_be_bytes());
    out.extend(properties(version, &p.properties));
    out.extend(binary(&p.client_id));
    if let Some(will) = &p.will {
        out.extend(properties(version, &will.properties));
        out.extend(binary(&will.topic));
        out.extend(binary(&will.payload));
    }
    out.extend(p.user_name.iter().flat_map(binary));
    out.extend(p.password.iter().flat_map(binary));
    out
}

/// Reason code and properties are left out from the back where they say nothing.
fn ack_body(version: Version, p: &Ack) -> Vec<u8> {
    let mut out = p.packet_id.to_be_bytes().to_vec();
    out.extend(ending_body(version, p.code, &p.properties));
    out
}

fn ending_body(version: Version, code: u8, list: &[Property]) -> Vec<u8> {
    if version != Version::V5 || (code == 0 && list.is_empty()) {
        return Vec::new();
    }
    let mut out = vec![code];
    if !list.is_empty() {
        out.extend(properties(version, list));
    }
    out
}

fn suback_body(version: Version, p: &SubAck) -> Vec<u8> {
    let mut out = p.packet_id.to_be_bytes().to_vec();
    out.extend(properties(version, &p.properties));
    out.extend_from_slice(&p.codes);
    out
}
