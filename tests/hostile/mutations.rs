//! Good packets with some bytes changed, twenty thousand of each version, against the process: each
//! is the right packet or ends its connection, and nobody else notices.
//!
//! A PINGREQ stands behind each changed packet. How many of them are answered tells how far the
//! broker came, and the naive codec says how far it may come at most.

use crate::attack::{End, GoodPair, Heard, PINGREQ, Said, Until, hello, predict, talk};
use crate::common::decode::{From, decode};
use crate::common::hex;
use crate::common::mutate::mutate;
use crate::common::packet::*;
use crate::harness::Broker;
use fastrand::Rng;

/// Changed packets behind CONNECT, and changed CONNECTs.
const PACKETS: usize = 20_000;
const CONNECTS: usize = 4_000;

/// Changed packets of one connection at most: most of them end it.
const ON_ONE_CONNECTION: usize = 8;

/// Connections at the same time.
const AT_ONCE: usize = 200;

const MEMORY_LIMIT: u64 = 16_000_000;
const MEMORY_SLACK: u64 = 14_000_000;

/// The bytes of the good packets that a client sends, CONNECT or others.
fn good(version: Version, is_connect: bool) -> Vec<Vec<u8>> {
    let entries = hex::valid(version).into_iter();
    let fits = |bytes: &[u8]| (bytes[0] >> 4 == 1) == is_connect;
    let good = entries.filter(|entry| entry.is_from_client && fits(&entry.bytes));
    good.map(|entry| entry.bytes).collect()
}

/// A changed packet; the same for the same number. Client ids differ, so that nobody is ended by
/// somebody with the same name.
fn changed(number: usize, good: &[Vec<u8>]) -> Vec<u8> {
    let mut rng = Rng::with_seed(number as u64);
    let mut packet = good[rng.usize(..good.len())].clone();
    let name = b"\0\x03hex";
    if let Some(at) = packet.windows(name.len()).position(|bytes| bytes == name) {
        packet[at + 2..at + 5].fill_with(|| rng.alphanumeric() as u8);
    }
    loop {
        let mut bytes = packet.clone();
        mutate(&mut rng, &mut bytes, good);
        // Its answers are counted.
        if bytes != packet && bytes.first() != Some(&PINGREQ[0]) {
            return bytes;
        }
    }
}

/// The next numbers of changed packets for one connection, up to one that ends it.
fn next_stream(version: Version, todo: &mut Vec<usize>, good: &[Vec<u8>]) -> Vec<usize> {
    let mut numbers = Vec::new();
    while let Some(number) = todo.pop() {
        numbers.push(number);
        let stream = [&changed(number, good)[..], &PINGREQ].concat();
        let is_last = predict(version, &stream).end != End::Whole;
        if is_last || numbers.len() == ON_ONE_CONNECTION {
            break;
        }
    }
    numbers
}

/// Sends all of them; returns how many connections that took.
fn send_all(broker: &Broker, version: Version) -> usize {
    let good = good(version, false);
    let mut todo: Vec<usize> = (0..PACKETS).rev().collect();
    let (mut connections, mut resets) = (0, 0);
    while !todo.is_empty() {
        let mut batch = Vec::new();
        let mut streams = Vec::new();
        while batch.len() < AT_ONCE && !todo.is_empty() {
            let numbers = next_stream(version, &mut todo, &good);
            let packets = numbers
                .iter()
                .flat_map(|&n| [changed(n, &good), PINGREQ.to_vec()]);
            let said: Vec<u8> = packets.flatten().collect();
            let hello = hello(version, connections + batch.len());
            streams.push(Said {
                bytes: [&hello[..], &said].concat(),
                until: predict(version, &said).until(),
            });
            batch.push((numbers, said));
        }
        connections += batch.len();
        for ((numbers, said), heard) in batch.iter().zip(talk(broker, version, &streams)) {
            let predicted = predict(version, said);
            let shown = || {
                let Heard { packets, is_reset } = &heard;
                format!(
                    "{version:?}, seeds {numbers:?}: {predicted:?}, {said:02x?}; heard \
                     {packets:?}, reset: {is_reset}"
                )
            };
            let pings = heard.pings();
            assert!(pings <= predicted.pings, "{pings} answers: {}", shown());
            resets += usize::from(heard.is_reset);
            if predicted.end == End::Cut {
                // A stream that ends within a packet has ended: answers need not be sent any more.
                continue;
            }
            assert_eq!(heard.connack(), Some(0), "{}", shown());
            let is_ended_early = pings < predicted.pings;
            let is_refused = is_ended_early || predicted.end == End::Refused;
            if version == Version::V5 && is_refused && !heard.is_reset {
                let code = heard.disconnect();
                assert!(
                    code.is_some_and(|code| code >= 0x80),
                    "{code:?}: {}",
                    shown()
                );
            }
            // Those behind the one that ended the connection were not looked at.
            let seen = if is_ended_early {
                pings + 1
            } else {
                numbers.len()
            };
            todo.extend(numbers.iter().skip(seen).rev());
        }
    }
    assert!(
        resets <= connections / 20,
        "{resets} resets of {connections}"
    );
    connections
}

fn send_connects(broker: &Broker, version: Version) {
    let good = good(version, true);
    let numbers: Vec<usize> = (0..CONNECTS).collect();
    for numbers in numbers.chunks(AT_ONCE) {
        let bytes = |number| [&changed(number, &good)[..], &PINGREQ].concat();
        // The answer has the form of the version that was asked for, if there is such a one.
        let (v5, v3): (Vec<_>, Vec<_>) = numbers.iter().partition(|&&n| is_v5(&bytes(n)));
        for (version, numbers) in [(Version::V5, v5), (Version::V311, v3)] {
            let streams: Vec<Said> = numbers.iter().map(|&&n| connect(bytes(n))).collect();
            let heard = talk(broker, version, &streams);
            for ((number, said), heard) in numbers.iter().zip(&streams).zip(&heard) {
                judge_connect(
                    &format!("{version:?}, CONNECT of seed {number}"),
                    said,
                    heard,
                );
            }
        }
    }
}

fn is_v5(packet: &[u8]) -> bool {
    let long = packet.iter().skip(1).take_while(|byte| **byte >= 0x80);
    let body = packet.get(2 + long.count()..).unwrap_or_default();
    body.starts_with(b"\0\x04MQTT\x05")
}

/// What somebody waits for who says this first.
fn connect(bytes: Vec<u8>) -> Said {
    let until = match decode(Version::V5, From::Client, &bytes) {
        Err(_) => Until::Closed,
        Ok(None) => Until::Said,
        Ok(Some((Packet::Connect(connect), len))) => {
            let version = match connect.protocol_level & 0x7f {
                3 => Version::V31,
                4 => Version::V311,
                _ => Version::V5,
            };
            predict(version, &bytes[len..]).until()
        }
        Ok(Some(_)) => Until::Closed,
    };
    Said { bytes, until }
}

fn judge_connect(name: &str, said: &Said, heard: &Heard) {
    let shown = || {
        let Heard { packets, is_reset } = heard;
        let Said { bytes, until } = said;
        format!("{name}: {bytes:02x?}, {until:?}; heard {packets:?}, reset: {is_reset}")
    };
    let decoded = decode(Version::V5, From::Client, &said.bytes);
    let is_good = matches!(decoded, Ok(Some((Packet::Connect(_), _))));
    let is_let_in = heard.connack() == Some(0);
    assert!(is_good || !is_let_in, "let in: {}", shown());
    assert!(is_let_in || heard.pings() == 0, "answered: {}", shown());
    let may_be_silent = !is_good || heard.is_reset || said.until == Until::Said;
    assert!(
        may_be_silent || heard.connack().is_some(),
        "no answer: {}",
        shown()
    );
}

fn survives(version: Version) {
    let broker = Broker::start(&format!(
        "memory_limit {MEMORY_LIMIT}\nconnection_messages false"
    ));
    let pair = GoodPair::start(&broker);
    let before = broker.resident_bytes();
    let connections = send_all(&broker, version);
    send_connects(&broker, version);
    let messages = pair.finish();
    let grown = broker.resident_bytes().saturating_sub(before);
    println!(
        "{version:?}: {PACKETS} packets and {CONNECTS} CONNECTs on {connections} and {CONNECTS} \
         connections, {messages} messages of the good pair meanwhile, {grown} bytes grown"
    );
    assert!(messages > 10, "{messages}");
    assert!(grown < MEMORY_LIMIT + MEMORY_SLACK, "{grown} bytes");
    assert_eq!(broker.stop().code(), Some(0));
}

#[test]
fn changed_packets_of_3_1() {
    survives(Version::V31);
}

#[test]
fn changed_packets_of_3_1_1() {
    survives(Version::V311);
}

#[test]
fn changed_packets_of_5_0() {
    survives(Version::V5);
}
