//! Good packets with some bytes changed, twenty thousand of each version, against the process: each
//! is the right packet or ends its connection, and nobody else notices.
//!
//! A PINGREQ stands behind each changed packet. How many of them are answered tells how far the
//! broker came, and the naive codec says how far it may come at most.

use crate::attack::{End, GoodPair, PINGREQ, hello, predict, talk};
use crate::common::decode::{From, decode};
use crate::common::hex;
use crate::common::mutate::mutate;
use crate::common::packet::*;
use crate::harness::Broker;
use fastrand::Rng;

/// Changed packets behind CONNECT, and changed CONNECTs.
const PACKETS: usize = 17_000;
const CONNECTS: usize = 4_000;

/// Changed packets of one connection at most: most of them end it.
const ON_ONE_CONNECTION: usize = 8;

/// Connections at the same time.
const AT_ONCE: usize = 50;

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
            streams.push([&hello[..], &said].concat());
            batch.push((numbers, said));
        }
        connections += batch.len();
        for ((numbers, said), heard) in batch.iter().zip(talk(broker, version, &streams)) {
            let predicted = predict(version, said);
            let shown = || format!("{version:?}, seeds {numbers:?}: {predicted:?}, {said:02x?}");
            assert_eq!(heard.connack(), Some(0), "{}", shown());
            let pings = heard.pings();
            assert!(pings <= predicted.pings, "{pings} answers: {}", shown());
            resets += usize::from(heard.is_reset);
            let is_told = version == Version::V5 && !heard.is_reset;
            let is_ended_early = pings < predicted.pings;
            if is_told && (is_ended_early || predicted.end == End::Refused) {
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
        let streams: Vec<Vec<u8>> = (numbers.iter())
            .map(|&number| [&changed(number, &good)[..], &PINGREQ].concat())
            .collect();
        // A CONNECT of another version is answered in that.
        let answered = streams
            .iter()
            .map(|stream| version_of(stream).unwrap_or(version));
        let mut answered: Vec<(Version, usize)> = answered.zip(0..).collect();
        answered.sort();
        for same in answered.chunk_by(|a, b| a.0 == b.0) {
            let said: Vec<Vec<u8>> = same.iter().map(|&(_, at)| streams[at].clone()).collect();
            for (n, heard) in talk(broker, same[0].0, &said).into_iter().enumerate() {
                let number = numbers[same[n].1];
                let shown = || format!("{version:?}, CONNECT of seed {number}: {:02x?}", said[n]);
                let is_good = match decode(version, From::Client, &said[n]) {
                    Ok(Some((packet, _))) => matches!(packet, Packet::Connect(_)),
                    _ => false,
                };
                let is_let_in = heard.connack() == Some(0);
                assert!(is_good || !is_let_in, "let in: {}", shown());
                assert!(is_let_in || heard.pings() == 0, "answered: {}", shown());
                let is_silent = heard.packets.is_empty();
                assert!(
                    !is_good || !is_silent || heard.is_reset,
                    "no answer: {}",
                    shown()
                );
            }
        }
    }
}

/// The version that the bytes of a CONNECT name.
fn version_of(stream: &[u8]) -> Option<Version> {
    let level = |name: &[u8]| {
        let at = stream.windows(name.len()).position(|bytes| bytes == name)?;
        stream.get(at + name.len()).map(|level| level & 0x7f)
    };
    match level(b"\0\x04MQTT").or_else(|| level(b"\0\x06MQIsdp"))? {
        3 => Some(Version::V31),
        4 => Some(Version::V311),
        5 => Some(Version::V5),
        _ => None,
    }
}

fn survives(version: Version) {
    let conf = format!("memory_limit {MEMORY_LIMIT}\nlog_type error\nlog_type notice");
    let conf = conf + "\nconnection_messages false";
    let broker = Broker::start(&conf);
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
    assert!(messages > 100, "{messages}");
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
