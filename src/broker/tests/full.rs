//! A disk that is full, nearly full, or seems to be.

use super::kept::{lasting, message, say, sleeper};
use super::slices::is_interrupted;
use super::*;
use crate::store::journal::State;
use crate::store::journal::writer::BACKLOG_MAX;

const V5: Version = Version::V5;
const TAKEN: [&str; 1] = ["PUBACK 7 0x00"];
const REFUSED: [&str; 1] = ["PUBACK 7 0x97"];

fn limited(drops_oldest: bool) -> World {
    World::kept(Settings {
        persistence_max_bytes: 12 << 20,
        max_queued_messages: 0,
        drops_oldest,
        ..Settings::default()
    })
}

/// The disk has no room any more.
fn fill(world: &mut World) {
    (world.disk.report.spares, world.disk.report.free_bytes) = (0, 0);
    world.report();
}

/// The disk takes nothing.
fn break_disk(world: &mut World) {
    world.disk.report.state = State::Failing;
    world.report();
}

/// A publisher that wants no reasons.
fn publisher(world: &mut World) -> Client {
    let properties = properties(&[(PropertyId::RequestProblemInformation, 0)]);
    let connect = Connect {
        properties: Properties::from_encoded(&properties),
        ..hello(V5, "p")
    };
    world.connect(&connect)
}

#[test]
fn room_that_a_session_leaves_is_used_again_without_other_traffic() {
    let mut world = limited(false);
    sleeper(&mut world, "other", "b");
    sleeper(&mut world, "large", "a");
    let p = publisher(&mut world);
    let payload = vec![b'x'; 10_000];
    let mut answer = say(&mut world, p, &message("a", &payload, QoS::AtLeastOnce));
    while answer == TAKEN {
        answer = say(&mut world, p, &message("a", &payload, QoS::AtLeastOnce));
    }
    assert_eq!(answer, REFUSED);
    let publish = message("b", &payload, QoS::AtLeastOnce);
    assert_eq!(say(&mut world, p, &publish), REFUSED);
    // A clean start ends the session that has all this.
    let clean = world.dial(V5, 0);
    world.send(clean, &bytes(|out| hello(V5, "large").encode(out)));
    world.rest();
    assert_eq!(world.packets(clean), ["CONNACK 0x00 false"]);
    assert_eq!(say(&mut world, p, &publish), TAKEN);
}

#[test]
fn retained_messages_come_also_where_the_next_message_may_drop_others() {
    let mut world = limited(true);
    let p = publisher(&mut world);
    let kept = Publish {
        retain: true,
        ..message("kept", b"x", QoS::AtLeastOnce)
    };
    say(&mut world, p, &kept);
    let reader = lasting(&mut world, "reader");
    world.rest();
    world.packets(reader);
    fill(&mut world);
    let version = world.links[reader].version;
    world.send(reader, &subscribe(version, "kept", QoS::AtLeastOnce));
    world.rest();
    let got = world.packets(reader);
    assert_eq!(got, ["SUBACK [1]", "PUBLISH q1 'kept' x retain"]);
}

#[test]
fn a_disk_that_has_room_refuses_nothing_while_spare_files_are_made() {
    for drops_oldest in [false, true] {
        let mut world = limited(drops_oldest);
        sleeper(&mut world, "sub", "a");
        let p = publisher(&mut world);
        world.disk.report.spares = 0;
        world.report();
        let payload = vec![b'x'; 10_000];
        for _ in 0..300 {
            let answer = say(&mut world, p, &message("a", &payload, QoS::AtLeastOnce));
            assert_eq!(answer, TAKEN);
        }
        let id = world.broker.sessions.find("sub").expect("it is away");
        assert_eq!(world.broker.sessions.get(id).flow.queue.len(), 300);
    }
}

#[test]
fn the_oldest_are_dropped_as_far_as_room_is_needed_and_no_further() {
    let mut world = limited(true);
    sleeper(&mut world, "sub", "a");
    let p = publisher(&mut world);
    let payload = vec![b'x'; 10_000];
    for n in 0..3000 {
        let publish = message("a", &payload, QoS::AtLeastOnce);
        world.send(p, &super::publish(V5, &publish));
        // The disk is a little behind.
        if n % 20 == 0 {
            world.rest();
            assert!(world.packets(p).iter().all(|answer| answer == TAKEN[0]));
        }
        let id = world.broker.sessions.find("sub").expect("it is away");
        let bytes = world.broker.sessions.get(id).flow.queue.bytes();
        assert!(n < 500 || bytes > 4 << 20, "{bytes} are left after {n}");
    }
    let sub = lasting(&mut world, "sub");
    world.rest();
    assert!(world.packets(sub).len() > 10);
}

#[test]
fn looking_for_the_longest_queue_lets_others_have_their_turn() {
    let mut world = limited(true);
    for n in 0..200 {
        sleeper(&mut world, &format!("s{n}"), "a");
    }
    let p = publisher(&mut world);
    fill(&mut world);
    let burst = publish(V5, &message("x", b"x", QoS::AtLeastOnce)).repeat(300);
    assert!(is_interrupted(&mut world, p, &burst));
}

#[test]
fn looking_for_who_would_miss_a_message_lets_others_have_their_turn() {
    let mut world = limited(false);
    sleeper(&mut world, "s", "a");
    for n in 0..200 {
        let client = world.connect(&hello(V5, &format!("c{n}")));
        world.send(client, &subscribe(V5, "a", QoS::AtLeastOnce));
    }
    let p = publisher(&mut world);
    break_disk(&mut world);
    let burst = publish(V5, &message("a", b"x", QoS::AtLeastOnce)).repeat(300);
    assert!(is_interrupted(&mut world, p, &burst));
}

#[test]
fn retained_messages_that_found_no_room_are_recorded_some_at_a_time() {
    let mut world = limited(false);
    let p = publisher(&mut world);
    break_disk(&mut world);
    for n in 0..200 {
        let topic = format!("t/{n}");
        let kept = Publish {
            retain: true,
            ..message(&topic, &[b'x'; 8000], QoS::AtMostOnce)
        };
        world.send(p, &publish(V5, &kept));
    }
    let owed = world.broker.unrecorded_retained().len();
    assert!(owed > 50, "{owed}");
    world.disk.report.state = State::Fine;
    world.report();
    let writer = world.broker.journal.writer.as_ref();
    let backlog = writer.map_or(0, crate::store::journal::Writer::backlog);
    assert!(backlog < BACKLOG_MAX + 10_000, "{backlog}");
    world.rest();
    assert!(world.broker.unrecorded_retained().is_empty());
}
