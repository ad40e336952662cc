//! Very many of a thing.

use crate::common::encode::encode;
use crate::common::packet::*;
use crate::harness::{Broker, Client, Peers};
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
