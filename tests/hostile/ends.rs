//! How connections end, and what of it others get to know.

use std::fs;

use crate::common::packet::*;
use crate::dir::Dir;
use crate::harness::{Broker, Peers};

/// Last bytes and end of stream in one event: the end must not wait for another event.
#[test]
fn the_end_of_a_stream_is_seen_behind_its_last_bytes() {
    let broker = Broker::start("");
    let mut watcher = broker.client(Version::V311, "watcher");
    watcher.subscribe("will", 0);
    let mut connect = Connect::new(Version::V311, "leaver");
    connect.will = Some(Will::new("will", "gone"));
    let mut leaver = broker.client_by(connect, Version::V311);
    broker.asleep(move || {
        leaver.say(Packet::Publish(Publish::new("last", "words")));
        drop(leaver);
    });
    let heard = watcher.hear();
    assert!(
        matches!(&heard, Some(Packet::Publish(p)) if p.text() == "gone"),
        "{heard:?}"
    );
}

#[test]
fn a_client_that_only_listens_on_gets_its_answers() {
    let broker = Broker::start("");
    let mut client = broker.connection();
    broker.asleep(|| {
        client.say(Packet::Connect(Connect::new(Version::V311, "half")));
        client.say(Packet::Subscribe(Subscribe::new(7).filter("x", 0)));
        client.say(Packet::PingReq);
        client.half_close();
    });
    let names: Vec<_> = client.hear_out().iter().map(Packet::name).collect();
    assert_eq!(names, ["CONNACK", "SUBACK", "PINGRESP"]);
}

/// An acknowledgement that waits for the disk goes out before the connection ends.
#[test]
fn a_client_that_only_listens_on_gets_the_acknowledgements_of_the_disk() {
    let dir = Dir::new();
    fs::create_dir(dir.file("store")).unwrap();
    let conf = "persistence true\npersistence_location DIR/store";
    let broker = Broker::start_in(dir, conf, |command| command);
    let mut client = broker.client(Version::V311, "half");
    broker.asleep(|| {
        for id in 1..=100 {
            let kept = Publish::new("x", "kept").qos(1).id(id).retain();
            client.say(Packet::Publish(kept));
        }
        client.say(Packet::Publish(Publish::new("x", "kept").qos(2).id(101)));
        client.half_close();
    });
    let mut answers: Vec<_> = (1..=100).map(|id| Packet::PubAck(Ack::new(id))).collect();
    answers.push(Packet::PubRec(Ack::new(101)));
    assert_eq!(client.hear_out(), answers);
}

/// Bytes that no packet begins with, or not this one: the sinner goes, at once, and only he.
#[test]
fn refused_first_bytes_end_one_connection_only() {
    let broker = Broker::start("");
    let mut peers = Peers::new(&broker);
    let first: [&[u8]; 6] = [
        &[0x10, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x00, 0x00],
        &[0xf0, 0x00],
        &[0x30, 0x05],
        &[0x10, 0x80, 0x80, 0x02],
        &[0x11, 0x00],
    ];
    for bytes in first {
        let mut sinner = broker.connection();
        sinner.throw(bytes);
        assert_eq!(sinner.hear_out(), [], "{bytes:02x?}");
        peers.check();
    }
    let later: [&[u8]; 5] = [
        &[0x30, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x00, 0x00],
        &[0x20, 0x02, 0x00, 0x00],
        &[0x82, 0x00],
        &[0x10, 0x00],
    ];
    for bytes in later {
        let mut sinner = broker.client(Version::V311, "sinner");
        sinner.throw(bytes);
        assert_eq!(sinner.hear_out(), [], "{bytes:02x?}");
        peers.check();
    }
    assert_eq!(broker.stop().code(), Some(0));
}
