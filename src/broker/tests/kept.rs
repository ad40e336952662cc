//! What was promised, and what is read back, while the disk is not as far as the broker.

use super::*;
use crate::store::journal::State;
use crate::store::journal::record::{self, Record};
use crate::store::mosquitto_db as db;

const V3: Version = Version::V311;
const V5: Version = Version::V5;

/// A client of 3.1.1 whose session stays; its CONNACK is not looked at.
pub fn lasting(world: &mut World, client_id: &str) -> Client {
    let client = world.dial(V3, 0);
    let connect = Connect {
        clean_start: false,
        ..hello(V3, client_id)
    };
    world.send(client, &bytes(|out| connect.encode(out)));
    client
}

/// A session that has a filter and is away.
pub fn sleeper(world: &mut World, client_id: &str, filter: &str) {
    let client = lasting(world, client_id);
    world.send(client, &subscribe(V3, filter, QoS::ExactlyOnce));
    world.rest();
    assert_eq!(world.packets(client).pop().as_deref(), Some("SUBACK [2]"));
    world.cut(client);
    world.rest();
}

pub fn message<'a>(topic: &'a str, payload: &'a [u8], qos: QoS) -> Publish<'a> {
    Publish {
        qos,
        packet_id: 7,
        topic: topic.as_bytes(),
        payload,
        ..Publish::default()
    }
}

/// Says something and waits until the disk has it; what the answer was.
pub fn say(world: &mut World, client: Client, publish: &Publish<'_>) -> Vec<String> {
    let version = world.links[client].version;
    world.send(client, &super::publish(version, publish));
    world.rest();
    world.packets(client)
}

#[test]
fn a_session_is_present_only_when_it_cannot_be_lost() {
    let mut world = World::kept(Settings::default());
    let first = lasting(&mut world, "c");
    assert!(world.packets(first).is_empty(), "it waits for the record");
    world.cut(first);
    let second = lasting(&mut world, "c");
    assert!(world.packets(second).is_empty(), "the same record");
    world.rest();
    assert_eq!(world.packets(second), ["CONNACK 0x00 true"]);
    // From then on there is nothing to wait for.
    world.cut(second);
    let third = lasting(&mut world, "c");
    assert_eq!(world.packets(third), ["CONNACK 0x00 true"]);
}

#[test]
fn nobody_is_told_of_no_session_while_the_old_one_may_come_back() {
    let mut world = World::kept(Settings::default());
    let first = lasting(&mut world, "c");
    world.rest();
    world.packets(first);
    let clean = |world: &mut World, client_id: &'static str| {
        let client = world.dial(V3, 0);
        let connect = hello(V3, client_id);
        world.send(client, &bytes(|out| connect.encode(out)));
        client
    };
    let second = clean(&mut world, "c");
    assert!(world.packets(second).is_empty(), "the end is to be kept");
    world.cut(second);
    let third = clean(&mut world, "c");
    assert!(world.packets(third).is_empty(), "the same end");
    let other = clean(&mut world, "other");
    assert_eq!(world.packets(other), ["CONNACK 0x00 false"]);
    world.rest();
    assert_eq!(world.packets(third), ["CONNACK 0x00 false"]);
}

/// A client of 3.1.1 with a will; its CONNACK is not looked at.
fn mortal(world: &mut World, client_id: &str, clean_start: bool) -> Client {
    let client = world.dial(V3, 0);
    let connect = Connect {
        clean_start,
        will: Some(crate::wire::Will {
            qos: QoS::AtLeastOnce,
            retain: false,
            properties: Properties::default(),
            topic: "w",
            payload: b"gone",
        }),
        ..hello(V3, client_id)
    };
    world.send(client, &bytes(|out| connect.encode(out)));
    client
}

#[test]
fn a_client_waits_until_its_new_will_is_kept() {
    let mut world = World::kept(Settings::default());
    let first = lasting(&mut world, "c");
    world.rest();
    world.cut(first);
    world.rest();
    for (client_id, clean_start) in [("c", false), ("brief", true)] {
        let client = mortal(&mut world, client_id, clean_start);
        assert!(world.packets(client).is_empty(), "the will may be lost");
        world.rest();
        let told = format!("CONNACK 0x00 {}", !clean_start);
        assert_eq!(world.packets(client), [told]);
    }
}

#[test]
fn a_ping_is_answered_while_a_subscription_waits_for_the_disk() {
    let mut world = World::kept(Settings::default());
    let client = lasting(&mut world, "c");
    world.send(client, &[0xc0, 0]);
    assert!(world.packets(client).is_empty(), "nothing before CONNACK");
    world.rest();
    assert_eq!(world.packets(client), ["CONNACK 0x00 false", "PINGRESP"]);
    world.send(client, &subscribe(V3, "a", QoS::AtLeastOnce));
    world.send(client, &[0xc0, 0]);
    assert_eq!(world.packets(client), ["PINGRESP"]);
    world.rest();
    assert_eq!(world.packets(client), ["SUBACK [1]"]);
}

#[test]
fn a_message_that_was_cut_and_went_cold_is_waited_for_in_peace() {
    let mut world = World::kept(Settings::default());
    let sub = lasting(&mut world, "sub");
    world.send(sub, &subscribe(V3, "a", QoS::AtLeastOnce));
    world.rest();
    world.packets(sub);
    world.take(sub, 100);
    let pub_ = world.connect(&hello(V5, "p"));
    let payload = [b'x'; 5000];
    say(&mut world, pub_, &message("a", &payload, QoS::AtLeastOnce));
    // Two more reports: the body leaves memory with the rest of the packet still to be sent.
    for _ in 0..2 {
        world.report();
    }
    world.send(sub, &[0xc0, 0]);
    world.take(sub, usize::MAX); // comes to rest although the PINGRESP is due
    world.rest();
    let got = world.packets(sub);
    assert_eq!(got, ["PUBLISH q1 'a' xxxxxxxxxxxxxxxxxxxx", "PINGRESP"]);
}

#[test]
fn what_is_sent_again_comes_before_what_came_meanwhile_even_if_it_is_to_be_read() {
    let mut world = World::kept(Settings::default());
    let sub = lasting(&mut world, "sub");
    world.send(sub, &subscribe(V3, "a", QoS::AtLeastOnce));
    world.rest();
    let pub_ = world.connect(&hello(V5, "p"));
    say(&mut world, pub_, &message("a", b"old", QoS::AtLeastOnce));
    world.rest();
    let got = world.packets(sub).pop();
    assert_eq!(got.as_deref(), Some("PUBLISH q1 'a' old"));
    world.cut(sub);
    world.rest();
    let sub = lasting(&mut world, "sub");
    while world.write() {}
    world.packets(sub);
    let new = publish(V5, &message("a", b"new", QoS::AtMostOnce));
    world.send(pub_, &new);
    assert!(world.packets(sub).is_empty(), "the old one is being read");
    world.rest();
    let got = world.packets(sub);
    assert_eq!(got, ["PUBLISH q1 'a' old dup", "PUBLISH q0 'a' new"]);
}

#[test]
fn a_read_wakes_those_who_wait_for_it_and_nobody_else() {
    let mut world = World::kept(Settings::default());
    let payload = vec![b'x'; 100_000];
    let pub_ = world.connect(&hello(V5, "p"));
    for name in ["a", "b", "c"] {
        sleeper(&mut world, name, name);
        say(&mut world, pub_, &message(name, &payload, QoS::AtLeastOnce));
    }
    for name in ["a", "b", "c"] {
        lasting(&mut world, name);
    }
    assert_eq!(world.ask(), 3);
    let read = world.reads.pop_front().expect("three were asked for");
    let bytes = world.disk.read(read).expect("the disk has it").to_vec();
    world.broker.fetched(read, Some(&bytes), world.now);
    let read = world.broker.poll_fetch();
    if let Some(read) = read {
        // The record is longer than the first read.
        let bytes = world.disk.read(read).expect("the disk has it").to_vec();
        world.broker.fetched(read, Some(&bytes), world.now);
    }
    assert_eq!(world.broker.writable_count(), 1);
}

#[test]
fn a_packet_identifier_is_free_before_it_is_given_again() {
    let settings = Settings {
        max_queued_messages: 1,
        max_inflight_messages: 2,
        ..Settings::default()
    };
    let mut world = World::new(settings);
    let sub = lasting(&mut world, "sub");
    world.send(sub, &subscribe(V3, "a", QoS::AtLeastOnce));
    world.packets(sub);
    let pub_ = world.connect(&hello(V5, "p"));
    let say = |world: &mut World, payload: &[u8], expiry_s| {
        let publish = Publish {
            expiry_s,
            ..message("a", payload, QoS::AtLeastOnce)
        };
        world.send(pub_, &super::publish(V5, &publish));
        world.packets(pub_);
    };
    say(&mut world, b"first", None);
    assert_eq!(world.packets(sub), ["PUBLISH q1 'a' first"]);
    world.cut(sub);
    // The other 65,534 identifiers go to messages that expire unread.
    for _ in 2..=65_535 {
        say(&mut world, b"stale", Some(1));
        world.pass(2000);
    }
    say(&mut world, b"last", None);
    let sub = lasting(&mut world, "sub");
    let got = world.packets(sub);
    assert_eq!(got, ["CONNACK 0x00 true", "PUBLISH q1 'a' first dup"]);
    world.send(sub, &ack(V3, PacketType::PubAck, 1));
    assert_eq!(world.packets(sub), ["PUBLISH q1 'a' last"]);
    world.send(sub, &ack(V3, PacketType::PubAck, 1));
    world.cut(sub);
    let sub = lasting(&mut world, "sub");
    assert_eq!(world.packets(sub), ["CONNACK 0x00 true"]);
}

fn session(client_id: &str) -> Record<'_> {
    Record::Session(record::Session {
        key: 1,
        client_id,
        username: None,
        listener: "",
        mount_point: "",
        version: V3,
        is_bridge: false,
        is_unowned: false,
        expiry_s: u32::MAX,
        silence_ms: 0,
        left_ms: Some(1),
        next_ordinal: 1,
        sent_before: 1,
        will: None,
    })
}

/// The record of a message is damaged; others tell that it was on its way.
#[test]
fn a_lost_record_gives_no_identifier_to_another_message() {
    let (key, ordinal) = (1, 3);
    let told = [
        Record::Received { key, ordinal },
        Record::Sent { key, through: 3 },
    ];
    for record in told {
        let mut world = World::new(Settings::default());
        let filter = record::Subscription {
            key,
            filter: "a",
            share: None,
            options: SubscriptionOptions {
                qos: QoS::ExactlyOnce,
                ..SubscriptionOptions::default()
            },
            identifier: 0,
            is_owed: false,
        };
        world.write_records(&[session("sub"), Record::Subscribe(filter), record]);
        world.begin(None);
        world.rest();
        let pub_ = world.connect(&hello(V5, "p"));
        say(&mut world, pub_, &message("a", b"new", QoS::AtLeastOnce));
        let sub = lasting(&mut world, "sub");
        world.rest();
        let inbox = world.links[sub].inbox.clone();
        let mut lines = world.packets(sub);
        assert_eq!(lines.pop().as_deref(), Some("PUBLISH q1 'a' new"));
        // Fixed header, topic, identifier, payload.
        let id = &inbox[inbox.len() - 5..inbox.len() - 3];
        assert_eq!(id, [0, 4], "{record:?}");
    }
}

#[test]
fn a_retained_message_that_was_cleared_while_the_disk_was_away_stays_cleared() {
    let mut world = World::kept(Settings::default());
    let p = world.connect(&hello(V5, "p"));
    let retained = |payload: &'static [u8], qos| Publish {
        retain: true,
        ..message("t", payload, qos)
    };
    say(&mut world, p, &retained(b"old", QoS::AtLeastOnce));
    world.disk.report.state = State::Failing;
    world.report();
    // What is not acknowledged need not be kept; but it comes behind what was.
    for payload in [&b"newer"[..], b""] {
        world.send(p, &super::publish(V5, &retained(payload, QoS::AtMostOnce)));
    }
    world.disk.report.state = State::Fine;
    world.report();
    world.rest();
    world.restart(None);
    let sub = world.connect(&hello(V5, "s"));
    world.send(sub, &subscribe(V5, "t", QoS::AtLeastOnce));
    world.rest();
    assert_eq!(world.packets(sub), ["SUBACK [1]"]);
}

/// A retained message is copied for each subscription of a session that is kept, but only as fast
/// as the disk takes the copies.
#[test]
fn copies_of_retained_messages_wait_for_the_disk() {
    const COPIES: u16 = 64;
    let mut world = World::kept(Settings::default());
    let writer = world.connect(&hello(V5, "writer"));
    let payload = vec![b'x'; 50_000];
    let kept = Publish {
        retain: true,
        ..message("a/a/a/a/a/a", &payload, QoS::AtLeastOnce)
    };
    assert_eq!(say(&mut world, writer, &kept), ["PUBACK 7 0x10"]);
    let reader = lasting(&mut world, "reader");
    world.rest();
    let filter = |n: u16| {
        let level = |bit: u16| if n >> bit & 1 == 0 { "a" } else { "+" };
        [0, 1, 2, 3, 4, 5].map(level).join("/")
    };
    let filters: Vec<String> = (0..COPIES).map(filter).collect();
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        ..SubscriptionOptions::default()
    };
    let filters: Vec<_> = (filters.iter())
        .map(|filter| SubscribeFilter { filter, options })
        .collect();
    let all = bytes(|out| Subscribe::encode(V3, 9, Properties::default(), &filters, out));
    world.send(reader, &all);
    assert!(world.read(), "it is read back once");
    let held = world.broker.messages.memory();
    assert!(held < 1_000_000, "{held} bytes are held");
    let (mut got, mut idle) = (0, 0);
    while idle < 3 {
        world.rest();
        let lines = world.packets(reader);
        let publishes = lines.iter().filter(|l| l.starts_with("PUBLISH")).count();
        idle = if publishes == 0 { idle + 1 } else { 0 };
        for _ in 0..publishes {
            got += 1;
            world.send(reader, &ack(V3, PacketType::PubAck, got));
        }
    }
    assert_eq!(got, COPIES);
}

/// Its client was here when the power went first, and never again.
#[test]
fn a_session_expires_however_often_the_power_goes() {
    let mut world = World::kept(Settings::default());
    let lasting = properties(&[(PropertyId::SessionExpiryInterval, 200)]);
    let connect = Connect {
        properties: Properties::from_encoded(&lasting),
        ..hello(V5, "c")
    };
    let client = world.dial(V5, 0);
    world.send(client, &bytes(|out| connect.encode(out)));
    world.rest();
    for seconds in [70, 70, 70, 70] {
        assert!(world.broker.sessions.find("c").is_some());
        world.restart(None);
        world.pass(seconds * 1000);
        world.rest();
    }
    assert!(world.broker.sessions.find("c").is_none());
}

/// Otherwise it would send the same again, and be closed again, for ever.
#[test]
fn a_client_with_too_many_messages_gets_the_answers_to_those_that_were_taken() {
    let mut world = World::kept(Settings {
        max_inbound_qos2: 2,
        ..Settings::default()
    });
    let client = lasting(&mut world, "c");
    world.rest();
    world.packets(client);
    let all: Vec<u8> = (1..=4)
        .flat_map(|packet_id| {
            let publish = Publish {
                packet_id,
                ..message("t", b"x", QoS::ExactlyOnce)
            };
            super::publish(V3, &publish)
        })
        .collect();
    world.send(client, &all);
    assert_eq!(world.packets(client), [""; 0]);
    world.rest();
    assert_eq!(world.packets(client), ["PUBREC 1 0x00", "PUBREC 2 0x00"]);
    world.send(client, &ack(V3, PacketType::PubRel, 1));
    assert!(!world.links[client].is_closed, "it may be on its way");
    world.pass(2000);
    assert!(world.links[client].is_closed);
}

/// Nobody has told yet how full the disk is.
#[test]
fn a_large_message_is_taken_right_after_the_start() {
    let mut world = World::new(Settings::default());
    world.begin(None);
    assert!(world.broker.journal.has_room(3_000_000, 0));
}

/// Filters for which it makes a difference whether `$share` or a mount point is weighed with them.
fn heavy_filters() -> Vec<String> {
    let levels = "/1/2/3/4/5/6/7/8";
    vec![
        "a".to_string(),
        format!("nine{levels}"),
        format!("$share/g/nine{levels}"),
        format!("$share/other/nine{levels}"),
        "x".repeat(1022),
        format!("$share/g/{}", "x".repeat(1020)),
        format!("$share/{}/a", "x".repeat(3000)),
    ]
}

/// Takes all of [`heavy_filters`] away again; then others may come.
fn unsubscribe_heavy(world: &mut World) {
    let client = lasting(world, "c");
    world.rest();
    assert_eq!(world.packets(client), ["CONNACK 0x00 true"]);
    for filter in heavy_filters() {
        world.send(client, &unsubscribe(V3, &filter));
    }
    world.rest();
    assert_eq!(world.packets(client).len(), heavy_filters().len());
    let id = world.broker.sessions.find("c").expect("it is here");
    let session = world.broker.sessions.get(id);
    assert!(session.subscriptions.get().is_none());
    assert_eq!(session.subscription_count, 0);
    for filter in ["x", "$share/g/x"] {
        world.send(client, &subscribe(V3, filter, QoS::AtLeastOnce));
        world.rest();
        assert_eq!(world.packets(client), ["SUBACK [1]"]);
    }
}

#[test]
fn unsubscribing_takes_away_what_subscribing_counted_before_a_restart() {
    for mount_point in ["", "m/n/"] {
        let mut world = World::kept(Settings {
            listeners: vec![crate::broker::ListenerSettings {
                mount_point: mount_point.to_string(),
                ..Default::default()
            }],
            ..Settings::default()
        });
        let client = lasting(&mut world, "c");
        for filter in heavy_filters() {
            world.send(client, &subscribe(V3, &filter, QoS::AtLeastOnce));
        }
        let count = |world: &World| {
            let id = world.broker.sessions.find("c").expect("it is kept");
            world.broker.sessions.get(id).subscription_count
        };
        let before = count(&world);
        world.rest();
        world.restart(None);
        world.rest();
        assert_eq!(count(&world), before, "behind '{mount_point}'");
        unsubscribe_heavy(&mut world);
    }
}

#[test]
fn unsubscribing_takes_away_what_taking_over_counted() {
    let filters = heavy_filters();
    let client = db::Client {
        id: b"c",
        username: None,
        listener_port: None,
        session_expiry_interval_s: u32::MAX,
        expires_at_s: None,
        left_at_s: None,
        last_packet_id: 0,
    };
    let subscriptions = filters.iter().map(|filter| db::Subscription {
        client_id: b"c",
        filter: filter.as_bytes(),
        options: SubscriptionOptions::default(),
        id: None,
    });
    let db = db::Database {
        clients: vec![client],
        subscriptions: subscriptions.collect(),
        ..db::Database::default()
    };
    let mut world = World::kept(Settings::default());
    let Ok(_) = world.broker.import(&db, world.now, &mut |_| ());
    world.rest();
    unsubscribe_heavy(&mut world);
}

/// One waits for its client while thousands go by: that and what came last keep their packet
/// identifiers, or the client would take a later message for what it has of them already.
#[test]
fn what_was_under_way_in_mosquitto_keeps_its_packet_ids_however_far_apart() {
    let client = db::Client {
        id: b"c",
        username: None,
        listener_port: None,
        session_expiry_interval_s: u32::MAX,
        expires_at_s: None,
        left_at_s: None,
        last_packet_id: 0,
    };
    let message = db::Message {
        store_id: 1,
        topic: b"a",
        payload: b"x",
        qos: QoS::ExactlyOnce,
        retain: false,
        expires_at_s: None,
        source_id: b"",
        source_username: None,
        source_port: None,
        source_packet_id: 0,
        properties: Properties::default(),
    };
    let under_way = |packet_id, stage| db::ClientMessage {
        client_id: b"c",
        store_id: 1,
        packet_id,
        qos: QoS::ExactlyOnce,
        retain: false,
        dup: stage != db::Stage::Queued,
        direction: db::Direction::Out,
        stage,
        subscription_id: None,
    };
    let db = db::Database {
        clients: vec![client],
        messages: vec![message],
        client_messages: vec![
            under_way(5, db::Stage::AwaitPubRec),
            under_way(12_002, db::Stage::SendPublish),
            under_way(400, db::Stage::Queued), // was skipped by Mosquitto
            under_way(12_003, db::Stage::AwaitPubComp),
            under_way(65_535, db::Stage::AwaitPubRec),
            under_way(1, db::Stage::AwaitPubRec),
            // The first of them waits still: nothing else can have its identifier.
            under_way(5, db::Stage::AwaitPubRec),
            under_way(6, db::Stage::Queued),
        ],
        ..db::Database::default()
    };
    let mut world = World::kept(Settings::default());
    let Ok(_) = world.broker.import(&db, world.now, &mut |_| ());
    let client = lasting(&mut world, "c");
    world.rest();
    let again = "PUBLISH q2 'a' x dup";
    let sent = world.packets(client);
    assert_eq!(sent[1..], [again, again, "PUBREL 12003 0x00", again, again]);
    for packet_id in [12_002, 65_535, 1, 5] {
        world.send(client, &ack(V3, PacketType::PubRec, packet_id));
        world.rest();
        let released = format!("PUBREL {packet_id} 0x00");
        assert_eq!(world.packets(client), [released]);
    }
    for packet_id in [12_003, 12_002, 65_535, 1, 5] {
        world.send(client, &ack(V3, PacketType::PubComp, packet_id));
    }
    world.rest();
    assert_eq!(world.packets(client), ["PUBLISH q2 'a' x"; 3]);
}
