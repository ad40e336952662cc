//! Parts of the broker on their own, over and over: what the exact counts run under a tool.
//!
//! `midge-bench part NAME N` does N operations and says nothing; `exact` runs it twice, and the
//! difference is what the operations cost. Only a build with the feature `parts` has the broker's
//! own code in it (`make bench-micro`, `make check-perf`). Every operation is checked, so that none
//! can be left out.

use std::hint::black_box;

use midge::topic::{Matches, Table};
use midge::wire::{FixedHeader, Properties, Publish, QoS, Version, Window};

const TOPIC: &[u8] = b"bench/one/0001234/value";
const PAYLOAD: [u8; 64] = [b'.'; 64];
/// Content Type, Response Topic and a User Property: what is forwarded as it came.
const PROPERTIES: &[u8] = b"\x03\x00\x04text\x08\x00\x05reply\x26\x00\x04unit\x00\x01C";
/// Another seed makes another order in the tables, and another count.
const SEED: u64 = 1;

/// Does so many operations of this name.
pub fn run(name: &str, operations: usize) -> Result<(), String> {
    match name {
        "decode" => decode(Version::V311, operations),
        "decode v5" => decode(Version::V5, operations),
        "encode" => encode(Version::V311, operations),
        "encode v5" => encode(Version::V5, operations),
        "match 10k" => match_among(10_000, operations),
        "match 100k" => match_among(100_000, operations),
        _ => Err(format!("no part is called {name}")),
    }
}

/// A PUBLISH at QoS 1 with 64 bytes of payload; in MQTT 5 with an expiry and a few properties.
fn publish(version: Version) -> Publish<'static> {
    let is_v5 = version == Version::V5;
    Publish {
        qos: QoS::AtLeastOnce,
        topic: TOPIC,
        packet_id: 7,
        expiry_s: is_v5.then_some(60),
        properties: match is_v5 {
            true => Properties::from_encoded(PROPERTIES),
            false => Properties::default(),
        },
        payload: &PAYLOAD,
        ..Publish::default()
    }
}

/// From the bytes of a packet to its fields.
fn decode(version: Version, operations: usize) -> Result<(), String> {
    let mut packet = Vec::new();
    publish(version).encode(version, &mut packet);
    for _ in 0..operations {
        let bytes: &[u8] = black_box(&packet);
        let header = FixedHeader::read(bytes).map_err(|e| e.what)?;
        let header = header.ok_or("the header has not ended")?;
        let body = &bytes[usize::from(header.len)..header.total()];
        let publish = header.decode_publish(version, body).map_err(|e| e.what)?;
        if black_box(publish).payload.len() != PAYLOAD.len() {
            return Err("the payload came out short".into());
        }
    }
    Ok(())
}

/// From the fields to the bytes of a packet, into the room that is left of a write.
fn encode(version: Version, operations: usize) -> Result<(), String> {
    let publish = publish(version);
    let mut room = [0; 256];
    for _ in 0..operations {
        let publish = black_box(&publish);
        let len = publish.encoded_len(version);
        let mut window = Window::new(&mut room, 0);
        publish.encode(version, &mut window);
        if window.len() != len {
            return Err("the packet came out short".into());
        }
        black_box(&room);
    }
    Ok(())
}

/// A topic against so many wildcard filters, of which it matches one. Each topic comes again only
/// after all others: no answer is remembered for so long.
fn match_among(filters: usize, operations: usize) -> Result<(), String> {
    let mut table = Table::new(SEED);
    for i in 0..filters {
        let node = table.insert(format!("bench/+/{i:07}/value").as_bytes());
        table.set_value(node, i as u32);
    }
    let topics: Vec<String> = (0..filters)
        .map(|i| format!("bench/one/{i:07}/value"))
        .collect();
    let mut matches = Matches::default();
    for topic in topics.iter().cycle().take(operations) {
        table.matches(black_box(topic.as_bytes()), &mut matches);
        if black_box(&matches.found).len() != 1 {
            return Err(format!("{topic} matches {}", matches.found.len()));
        }
    }
    Ok(())
}
