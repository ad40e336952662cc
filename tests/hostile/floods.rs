//! Very many of a thing.

use crate::common::encode::encode;
use crate::common::packet::*;
use crate::harness::{Broker, Client, Peers};
use fastrand::Rng;
use std::time::Duration;

#[test]
fn a_packet_full_of_refused_filters_is_one_log_line() {
    let broker = Broker::start("max_subscriptions_per_client 10");
    let mut client = broker.client(Version::V311, "greedy");
    let mut subscribe = Subscribe::new(1);
    for n in 0..1000 {
        subscribe = subscribe.filter(&format!("filter/{n}"), 0);
    }
    client.say(Packet::Subscribe(subscribe));
    let Some(Packet::SubAck(answer)) = client.hear() else {
        panic!("no SUBACK");
    };
    let granted = answer.codes.iter().filter(|&&code| code < 0x80).count();
    assert_eq!((granted, answer.codes.len()), (10, 1000));
    let log = broker.log();
    assert_eq!(
        log.matches("max_subscriptions_per_client").count(),
        1,
        "{log}"
    );
}

fn large(broker: &Broker, n: usize, len: usize) -> (Client, Vec<u8>) {
    let client = broker.client(Version::V311, &format!("large-{n}"));
    let publish = Publish::new("large", vec![b'x'; len]).qos(1).id(7);
    (client, encode(Version::V311, &publish.into()))
}

/// More unfinished packets than there is room for: nobody is sent away, one after the other ends.
#[test]
fn many_large_packets_at_once_all_arrive() {
    let broker = Broker::start("");
    let mut peers = Peers::new(&broker);
    let mut clients: Vec<_> = (0..60).map(|n| large(&broker, n, 500_000)).collect();
    let senders: Vec<_> = (clients.drain(..))
        .map(|(mut client, packet)| {
            std::thread::spawn(move || {
                for part in packet.chunks(10_000) {
                    client.throw(part);
                }
                client.hear()
            })
        })
        .collect();
    peers.check();
    for sender in senders {
        let heard = sender.join().unwrap();
        assert_eq!(heard, Some(Packet::PubAck(Ack::new(7))), "{}", broker.log());
    }
    peers.check();
}

/// Those who never finish a packet have to make way for others after a while.
#[test]
fn large_packets_that_never_end_do_not_keep_others_from_sending() {
    let broker = Broker::start("");
    let mut peers = Peers::new(&broker);
    let _hogs: Vec<_> = (0..16)
        .map(|n| {
            let (mut client, packet) = large(&broker, n, 1_900_000);
            // What does not fit into the socket any more may be left out.
            let _ = client.throw_for(&packet[..packet.len() - 1], Duration::from_millis(300));
            client
        })
        .collect();
    peers.check();
    let (mut client, packet) = large(&broker, 99, 20_000);
    client.throw(&packet[..15_000]);
    peers.check();
    client.throw(&packet[15_000..]);
    assert_eq!(client.hear(), Some(Packet::PubAck(Ack::new(7))));
    peers.check();
    broker.logs("kept others waiting");
}

/// What a client only announces takes no memory, not even an address.
#[test]
fn announced_packets_of_100_megabytes_take_no_memory() {
    let broker = Broker::start("max_packet_size 268435455");
    let mut peers = Peers::new(&broker);
    let _liars: Vec<_> = (0..14)
        .map(|n| {
            let mut client = broker.client(Version::V311, &format!("liar-{n}"));
            // PUBLISH with a Remaining Length of 100,000,000 and the beginning of its topic.
            client.throw(&[0x30, 0x80, 0xc2, 0xd7, 0x2f, 0xff, 0xff]);
            client.throw(&[b'x'; 3000]);
            client
        })
        .collect();
    peers.check();
    let bytes = broker.virtual_bytes();
    assert!(bytes < 25_000_000, "{bytes}");
}

/// What three publishers send at once, from one byte to a million, each packet in pieces of chance.
#[test]
fn packets_of_every_size_in_pieces_of_every_size_arrive_whole() {
    const MESSAGES: u16 = 40;
    let broker = Broker::start("");
    let mut subscriber = broker.client(Version::V311, "all");
    subscriber.subscribe("size/+", 1);
    let publishers: Vec<_> = (0..3)
        .map(|n| {
            let mut client = broker.client(Version::V311, &format!("sizes-{n}"));
            std::thread::spawn(move || {
                let mut rng = Rng::with_seed(n);
                for id in 1..=MESSAGES {
                    let payload = noise(n, id, up_to(&mut rng, 1_000_000));
                    let publish = Publish::new(&format!("size/{n}"), payload).qos(1).id(id);
                    let packet = encode(Version::V311, &publish.into());
                    let most = (packet.len() / 100).max(up_to(&mut rng, 200_000));
                    let mut rest = &packet[..];
                    while !rest.is_empty() {
                        let (piece, left) = rest.split_at(rng.usize(1..=most).min(rest.len()));
                        client.throw(piece);
                        rest = left;
                    }
                    // Some begin before the one in front is acknowledged.
                    if id % 4 == 0 {
                        for id in id - 3..=id {
                            assert_eq!(client.hear(), Some(Packet::PubAck(Ack::new(id))));
                        }
                    }
                }
            })
        })
        .collect();
    let mut last = [0; 3];
    for _ in 0..3 * MESSAGES {
        let heard = subscriber.hear();
        let Some(Packet::Publish(publish)) = heard else {
            panic!("{heard:?}: {}", broker.log());
        };
        subscriber.say(Packet::PubAck(Ack::new(publish.packet_id)));
        let n = usize::from(publish.topic.as_bytes()[5] - b'0');
        last[n] += 1;
        let sent = noise(n as u64, last[n], publish.payload.len());
        assert!(publish.payload == sent, "message {} of {n}", last[n]);
    }
    assert_eq!(last, [MESSAGES; 3]);
    for publisher in publishers {
        publisher.join().unwrap();
    }
}

/// A size of chance, of every order of magnitude as often.
fn up_to(rng: &mut Rng, max: usize) -> usize {
    rng.usize(1..=max) >> rng.u32(0..18) | 1
}

/// A payload that tells whose it is and which, in every byte.
fn noise(n: u64, id: u16, len: usize) -> Vec<u8> {
    let mut rng = Rng::with_seed(n << 16 | u64::from(id));
    std::iter::repeat_with(|| rng.u8(..)).take(len).collect()
}
