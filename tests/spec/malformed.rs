//! Malformed packets and protocol errors (section 4.13): an answer or a close, and nothing else.
//!
//! The packets come from `tests/data/packets`; each is also cut short at every byte. There is no
//! way to prove that the broker never panics, but here is every place where it might want to read
//! a byte that is not there.

use crate::client::Client;
use crate::common::decode::{self, From};
use crate::common::encode::{encode, var_int};
use crate::common::hex::{self, Entry};
use crate::common::packet::*;
use crate::world::World;

fn is_connect(bytes: &[u8]) -> bool {
    bytes[0] >> 4 == 1
}

/// A world with a witness who hears everything, and a client at the point where `bytes` may come.
fn stage(version: Version, entry: &Entry) -> (World, Client, Client) {
    let world = World::new();
    let witness = world.v5("witness").connect();
    witness.subscribe("#", 2);
    let first = is_connect(&entry.bytes) && entry.name != "a second CONNECT";
    let client = if first {
        world.link(version)
    } else {
        world.client(version, "hex").connect()
    };
    (world, witness, client)
}

#[test]
fn the_naive_decoder_knows_good_from_bad() {
    for version in Version::ALL {
        for entry in hex::valid(version) {
            let from = if entry.is_from_client {
                From::Client
            } else {
                From::Server
            };
            let (packet, len) = decode::decode(version, from, &entry.bytes)
                .unwrap_or_else(|bad| panic!("{version:?} {}: {bad}", entry.name))
                .unwrap_or_else(|| panic!("{version:?} {}: not complete", entry.name));
            assert_eq!(len, entry.bytes.len(), "{version:?} {}", entry.name);
            if !entry.name.ends_with("repeated") {
                assert_eq!(
                    encode(version, &packet),
                    entry.bytes,
                    "{version:?} {}",
                    entry.name
                );
            }
        }
        for entry in hex::malformed(version) {
            let decoded = decode::decode(version, From::Client, &entry.bytes);
            let allowed = match decoded {
                Err(_) => true,
                // These are well formed, and wrong because of who sends them or when.
                Ok(packet) => {
                    entry.name.ends_with("from a client")
                        || entry.name == "a second CONNECT"
                        || packet.is_none()
                }
            };
            assert!(allowed, "{version:?} {}: the decoder took it", entry.name);
        }
    }
}

#[test]
fn every_good_packet_of_a_client_is_taken() {
    proves!["3.1.1:MQTT-2.2.2-1", "5.0:MQTT-2.1.3-1"];
    for version in Version::ALL {
        for entry in hex::valid(version)
            .iter()
            .filter(|entry| entry.is_from_client)
        {
            let (_world, witness, client) = stage(version, entry);
            client.raw(&entry.bytes);
            let is_last = entry.bytes[0] >> 4 == 14;
            assert_eq!(client.is_closed(), is_last, "{version:?} {}", entry.name);
            witness.ping();
        }
    }
}

#[test]
fn every_bad_packet_ends_the_connection_with_its_reason() {
    proves![
        "3.1.1:MQTT-2.2.2-2",
        "3.1.1:MQTT-3.6.1-1",
        "3.1.1:MQTT-4.8.0-1",
        "5.0:MQTT-2.1.3-1",
        "5.0:MQTT-3.6.1-1",
        "5.0:MQTT-4.13.1-1"
    ];
    for version in Version::ALL {
        for entry in hex::malformed(version) {
            let name = format!("{version:?} {}", entry.name);
            let (_world, witness, client) = stage(version, &entry);
            client.raw(&entry.bytes);
            assert!(client.is_closed(), "{name}: the connection is open");
            let answers = client.inbox();
            assert!(answers.len() <= 1, "{name}: {answers:?}");
            match answers.first() {
                None => {
                    let silent = version != Version::V5 || is_connect(&entry.bytes);
                    assert!(silent, "{name}: 5.0 says why");
                }
                Some(Packet::ConnAck(ConnAck { code, .. })) if is_connect(&entry.bytes) => {
                    assert!(
                        version == Version::V5 && entry.codes.contains(code),
                        "{name}: {code:#x}"
                    );
                }
                Some(Packet::Disconnect(Disconnect { code, .. })) => {
                    assert!(
                        version == Version::V5 && entry.codes.contains(code),
                        "{name}: {code:#x}"
                    );
                }
                Some(other) => panic!("{name}: {other:?}"),
            }
            assert_eq!(witness.inbox(), [], "{name}: the witness heard something");
        }
    }
}

#[test]
fn every_packet_cut_short_in_its_body_gets_an_answer_or_a_close() {
    for version in Version::ALL {
        let entries = hex::valid(version)
            .into_iter()
            .chain(hex::malformed(version));
        for entry in entries.filter(|entry| entry.is_from_client) {
            let Ok(Some((header, body))) = split(&entry.bytes) else {
                continue;
            };
            for len in 0..body.len() {
                let mut bytes = vec![header];
                bytes.extend(var_int(len as u32));
                bytes.extend_from_slice(&body[..len]);
                let (_world, witness, client) = stage(version, &entry);
                client.raw(&bytes);
                if !client.is_closed()
                    && !matches!(client.inbox().first(), Some(Packet::ConnAck(_)))
                {
                    // What is left is a packet of its own, or nobody would wait for more.
                    let good = decode::decode(version, From::Client, &bytes);
                    assert!(
                        good.is_ok(),
                        "{version:?} {} cut to {len} bytes",
                        entry.name
                    );
                }
                witness.ping();
            }
        }
    }
}

/// First byte and body of a packet with a readable header.
fn split(bytes: &[u8]) -> Result<Option<(u8, Vec<u8>)>, ()> {
    let end = 1 + bytes[1..]
        .iter()
        .take(4)
        .position(|b| b & 0x80 == 0)
        .ok_or(())?;
    Ok(bytes.get(end + 1..).map(|body| (bytes[0], body.to_vec())))
}

#[test]
fn every_packet_that_stops_half_way_waits_for_the_rest_or_ends() {
    for version in Version::ALL {
        let entries = hex::valid(version)
            .into_iter()
            .chain(hex::malformed(version));
        for entry in entries.filter(|entry| entry.is_from_client) {
            for len in 0..entry.bytes.len() {
                let (_world, witness, client) = stage(version, &entry);
                client.raw(&entry.bytes[..len]);
                let is_good = entry.codes.is_empty();
                assert!(
                    !(is_good && client.is_closed()),
                    "{version:?} {} stopped after {len} bytes",
                    entry.name
                );
                assert_eq!(
                    client
                        .inbox()
                        .iter()
                        .filter(|p| p.name() != "DISCONNECT")
                        .count(),
                    0
                );
                client.drop_link();
                witness.ping();
            }
        }
    }
}

#[test]
fn every_packet_cut_at_every_byte_means_the_same() {
    for version in Version::ALL {
        let entries = hex::valid(version)
            .into_iter()
            .chain(hex::malformed(version));
        for entry in entries.filter(|entry| entry.is_from_client) {
            let outcome = |cut: usize, piece: usize| {
                let (_world, witness, client) = stage(version, &entry);
                client.cut_input(piece);
                client.raw(&entry.bytes[..cut]);
                client.raw(&entry.bytes[cut..]);
                let assigned = entry.name.ends_with("without an identifier");
                let answers = if assigned { Vec::new() } else { client.inbox() };
                (answers, client.is_closed(), witness.inbox())
            };
            let whole = outcome(entry.bytes.len(), usize::MAX);
            for cut in 1..entry.bytes.len() {
                assert_eq!(
                    outcome(cut, usize::MAX),
                    whole,
                    "{version:?} {} at {cut}",
                    entry.name
                );
            }
            assert_eq!(
                outcome(0, 1),
                whole,
                "{version:?} {} byte by byte",
                entry.name
            );
        }
    }
}

#[test]
fn random_damage_never_stops_the_broker() {
    let seed = fastrand::u64(..);
    let mut rng = fastrand::Rng::with_seed(seed);
    for version in Version::ALL {
        let entries: Vec<Entry> = hex::valid(version)
            .into_iter()
            .filter(|entry| entry.is_from_client)
            .collect();
        let world = World::new();
        let witness = world.v5("witness").connect();
        witness.subscribe("#", 0);
        for round in 0..3000 {
            let entry = &entries[rng.usize(..entries.len())];
            let mut bytes = entry.bytes.clone();
            for _ in 0..rng.usize(1..4) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            let client = match is_connect(&entry.bytes) {
                true => world.link(version),
                false => world.client(version, "damaged").connect(),
            };
            // The damage may have made it another version's CONNECT: read the answer unread.
            client.raw_unread(&bytes);
            client.drop_link();
            witness.take_all();
            witness.send(Packet::PingReq);
            assert!(
                witness.take_all().contains(&Packet::PingResp),
                "seed {seed}, {version:?}, round {round}: {} as {bytes:02x?}",
                entry.name
            );
        }
    }
}
