//! Cleaning: what is live moves on, and can be read all the while.

use super::kept::{lasting, message, say, sleeper};
use super::*;
use crate::store::journal::Record;

const V3: Version = Version::V311;
const V5: Version = Version::V5;

#[test]
fn a_message_that_was_moved_is_read_when_it_has_arrived() {
    let mut world = World::kept(Settings::default());
    sleeper(&mut world, "sub", "a");
    let p = world.connect(&hello(V5, "p"));
    say(&mut world, p, &message("a", b"kept", QoS::AtLeastOnce));
    world.restart(Some(1));
    // The clock's record is written, the first segment read, its message in the next batch.
    assert!(world.write() && world.read());
    assert!(world.broker.has_journal(), "it was written anew");
    let sub = lasting(&mut world, "sub");
    while world.read() {}
    world.rest();
    assert_eq!(
        world.packets(sub),
        ["CONNACK 0x00 true", "PUBLISH q1 'a' kept"]
    );
}

#[test]
fn what_could_not_be_read_for_a_moment_is_not_thrown_away() {
    let mut world = World::kept(Settings::default());
    sleeper(&mut world, "sub", "a");
    let p = world.connect(&hello(V5, "p"));
    say(&mut world, p, &message("a", b"kept", QoS::AtLeastOnce));
    world.restart(Some(1));
    let read = loop {
        match world.broker.poll_fetch() {
            Some(read) => break read,
            None => assert!(world.write(), "the first segment is to be cleaned"),
        }
    };
    assert_eq!(read.place.segment(), 1);
    let zeros = vec![0; read.len as usize];
    world.broker.fetched(read, Some(&zeros), world.now);
    world.rest();
    assert!(!world.disk.numbers().contains(&1), "it was cleaned");
    let sub = lasting(&mut world, "sub");
    world.rest();
    assert_eq!(
        world.packets(sub),
        ["CONNACK 0x00 true", "PUBLISH q1 'a' kept"]
    );
}

#[test]
fn a_body_that_moved_before_its_release_is_found_again() {
    for retain in [false, true] {
        let mut world = World::kept(Settings::default());
        if !retain {
            sleeper(&mut world, "sub", "a");
        }
        let publish = Publish {
            retain,
            ..message("a", b"body", QoS::ExactlyOnce)
        };
        let p = lasting(&mut world, "p");
        world.rest();
        world.send(p, &super::publish(V3, &publish));
        world.rest();
        // The second segment gets the release, the third the body, the fourth the release again.
        world.restart(None);
        world.rest();
        let p = lasting(&mut world, "p");
        world.packets(p);
        world.send(p, &ack(V3, PacketType::PubRel, 7));
        world.rest();
        assert_eq!(world.packets(p), ["PUBCOMP 7 0x00"]);
        for cleaned in [1, 2] {
            world.restart(Some(cleaned));
            world.rest();
        }
        assert_eq!(world.disk.numbers(), [3, 4]);
        world.restart(None);
        world.rest();
        let sub = lasting(&mut world, "sub");
        if retain {
            world.send(sub, &subscribe(V3, "a", QoS::ExactlyOnce));
        }
        world.rest();
        let got = world.packets(sub);
        let flag = if retain { " retain" } else { "" };
        assert_eq!(got.last(), Some(&format!("PUBLISH q2 'a' body{flag}")));
    }
}

#[test]
fn there_is_always_a_record_of_the_clocks() {
    let mut world = World::kept(Settings::default());
    let sub = lasting(&mut world, "sub");
    world.send(sub, &subscribe(V3, "a", QoS::AtLeastOnce));
    world.rest();
    let p = world.connect(&hello(V5, "p"));
    let payload = vec![b'x'; 300_000];
    for n in 1..30 {
        say(&mut world, p, &message("a", &payload, QoS::AtLeastOnce));
        world.send(sub, &ack(V3, PacketType::PubAck, n));
        world.rest();
        world.links[sub].inbox.clear();
        let mut clocks = 0;
        world.disk.tell(|_, record| {
            clocks += u32::from(matches!(record, Record::Clock(_)));
        });
        assert!(clocks > 0, "after {n} messages");
    }
    assert!(world.disk.numbers()[0] > 1, "nothing was cleaned");
}

#[test]
fn cleaning_ends_when_there_is_nothing_to_gain() {
    let settings = Settings {
        persistence_max_bytes: 16 << 20,
        max_queued_messages: 0,
        ..Settings::default()
    };
    let mut world = World::kept(settings);
    sleeper(&mut world, "sub", "a");
    let p = world.connect(&hello(V5, "p"));
    // Two of them in each segment, and much room behind them.
    let payload = vec![b'x'; 370_000];
    let mut kept = 0;
    while say(&mut world, p, &message("a", &payload, QoS::AtLeastOnce)) == ["PUBACK 7 0x00"] {
        kept += 1;
    }
    assert!(kept > 20, "{kept}");
}
