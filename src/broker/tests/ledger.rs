//! `memory_limit`: what is new is refused when clients hold too much, and nobody else pays for it.

use super::kept::{message, say};
use super::*;

const V5: Version = Version::V5;

/// A broker that has room for a little more than it holds already, and checks at every packet.
fn limited(bytes: usize) -> World {
    World::new(Settings {
        memory_limit: bytes,
        max_queued_messages: 0,
        ..Settings::default()
    })
}

/// Someone who has 2,000 messages waiting in a session that is his alone.
fn fill(world: &mut World) -> Client {
    let lasting = properties(&[(PropertyId::SessionExpiryInterval, 1000)]);
    let connect = Connect {
        properties: Properties::from_encoded(&lasting),
        ..hello(V5, "hoarder")
    };
    let hoarder = world.connect(&connect);
    world.send(hoarder, &subscribe(V5, "hoard/#", QoS::AtLeastOnce));
    world.packets(hoarder);
    world.cut(hoarder);
    let publisher = world.connect(&hello(V5, "publisher"));
    // Small ones fill what is left when there is no room for large ones.
    let mut len = 1000;
    for _ in 0..3000 {
        let payload = vec![b'x'; len];
        let message = message("hoard/1", &payload, QoS::AtLeastOnce);
        let answer = say(world, publisher, &message);
        if answer == ["PUBACK 7 0x00"] {
            continue;
        }
        assert_eq!(answer, ["PUBACK 7 0x97"], "memory_limit is reached");
        if len == 1 {
            return publisher;
        }
        len = 1;
    }
    panic!("two megabytes wait in a broker that may hold less");
}

#[test]
fn whoever_is_here_goes_on_while_new_things_are_refused() {
    let mut world = limited(1_000_000);
    let reader = world.connect(&hello(V5, "reader"));
    world.send(reader, &subscribe(V5, "live", QoS::ExactlyOnce));
    world.packets(reader);
    let writer = world.connect(&hello(V5, "writer"));
    let kept = Publish {
        retain: true,
        ..message("kept", b"first", QoS::AtLeastOnce)
    };
    assert_eq!(say(&mut world, writer, &kept), ["PUBACK 7 0x10"]);
    fill(&mut world);
    assert!(world.broker.held_bytes() < 1_200_000);
    // Messages that somebody is there for go their way, at every QoS.
    for payload in ["1", "2", "3"] {
        let live = message("live", payload.as_bytes(), QoS::AtLeastOnce);
        assert_eq!(say(&mut world, writer, &live), ["PUBACK 7 0x00"]);
        let got = world.packets(reader);
        assert_eq!(got, [format!("PUBLISH q1 'live' {payload}")]);
        world.send(
            reader,
            &ack(V5, PacketType::PubAck, payload.parse().unwrap_or(1)),
        );
    }
    // A topic that has a retained message may change it; another one may not come.
    let again = Publish {
        payload: b"second",
        ..kept
    };
    assert_eq!(say(&mut world, writer, &again), ["PUBACK 7 0x10"]);
    let other = Publish {
        topic: b"other",
        ..kept
    };
    assert_eq!(say(&mut world, writer, &other), ["PUBACK 7 0x97"]);
    let quiet = Publish {
        qos: QoS::AtMostOnce,
        packet_id: 0,
        ..other
    };
    assert_eq!(say(&mut world, writer, &quiet), [""; 0]);
    assert_eq!(world.broker.retained.count(), 1);
    // So may filters, once the last bytes are taken, but those that are there may change.
    let is_refused = |n| {
        let filter = format!("new/{n}");
        world.send(reader, &subscribe(V5, &filter, QoS::AtMostOnce));
        world.packets(reader) == ["SUBACK [151]"]
    };
    assert!((0..5).any(is_refused));
    world.send(reader, &subscribe(V5, "live", QoS::AtMostOnce));
    assert_eq!(world.packets(reader), ["SUBACK [0]"]);
    assert!(world.broker.ledger.refused >= 4);
}

#[test]
fn what_becomes_free_can_be_taken_again() {
    let mut world = limited(1_000_000);
    let publisher = fill(&mut world);
    // Its owner comes for a clean start: all of it is gone.
    let clean = world.connect(&hello(V5, "hoarder"));
    world.send(clean, &subscribe(V5, "hoard/#", QoS::AtLeastOnce));
    assert_eq!(world.packets(clean), ["SUBACK [1]"]);
    let publish = message("hoard/1", b"fresh", QoS::AtLeastOnce);
    assert_eq!(say(&mut world, publisher, &publish), ["PUBACK 7 0x00"]);
    assert_eq!(world.packets(clean), ["PUBLISH q1 'hoard/1' fresh"]);
}

#[test]
fn connecting_has_an_eighth_for_itself() {
    let mut world = limited(400_000);
    fill(&mut world);
    assert!(world.broker.is_over_memory());
    let mut sessions = 0;
    while world.broker.has_memory_to_connect() {
        let client = world.dial(V5, 0);
        let name = format!("client {sessions}");
        let connect = hello(V5, &name);
        world.send(client, &bytes(|out| connect.encode(out)));
        if world.packets(client) != ["CONNACK 0x00 false"] {
            break;
        }
        sessions += 1;
    }
    // Where there is no room for a session there is some for a connection or two, but no more.
    let peer = || Peer {
        address: "one more".into(),
        listener: 0,
    };
    let now = world.now;
    let more = std::iter::from_fn(|| world.broker.accept(peer(), now)).take(100);
    assert!(more.count() < 10);
    let held = world.broker.held_bytes();
    assert!(held < 480_000, "{held}");
}

#[test]
fn a_client_cannot_hide_memory_in_its_connection() {
    let mut world = limited(0);
    let empty = world.broker.held_bytes();
    let client = world.connect(&hello(V5, "c"));
    for alias in 1..=10 {
        let topic = format!("{alias}{}", "x".repeat(60_000));
        let publish = Publish {
            topic: topic.as_bytes(),
            topic_alias: Some(alias),
            ..Publish::default()
        };
        world.send(client, &bytes(|out| publish.encode(V5, out)));
    }
    // It is counted anew with the next mebibyte that comes in.
    let publish = Publish {
        payload: &vec![0; 600_000],
        topic: b"t",
        ..Publish::default()
    };
    world.send(client, &bytes(|out| publish.encode(V5, out)));
    world.send(client, &bytes(|out| publish.encode(V5, out)));
    world.send(client, &[0xc0, 0]);
    let held = world.broker.held_bytes() - empty;
    assert!(held > 600_000, "ten aliases of 60,000 bytes are {held}");
    world.cut(client);
    world.broker.note_held(0);
    let left = world.broker.messages.memory() + world.broker.sessions.memory();
    assert_eq!(left, 0);
}

/// Each SUBSCRIBE brings the retained message once more, for a client that acknowledges nothing.
#[test]
fn retained_messages_wait_where_memory_is_short() {
    let mut world = limited(500_000);
    let writer = world.connect(&hello(V5, "writer"));
    let kept = Publish {
        retain: true,
        ..message("kept", b"x", QoS::AtLeastOnce)
    };
    assert_eq!(say(&mut world, writer, &kept), ["PUBACK 7 0x10"]);
    let reader = world.connect(&hello(V5, "reader"));
    let again = subscribe(V5, "kept", QoS::AtLeastOnce);
    for _ in 0..40_000 {
        world.send(reader, &again);
        world.links[reader].inbox.clear();
    }
    let held = world.broker.held_bytes();
    assert!(held < 600_000, "{held} bytes are held");
    // One that waits for nothing gets his.
    let idle = world.connect(&hello(V5, "idle"));
    world.broker.ledger.is_over = false;
    world.send(idle, &again);
    let got = world.packets(idle);
    assert_eq!(got, ["SUBACK [1]", "PUBLISH q1 'kept' x retain"]);
}

/// They go on when there is memory again, whether the client says something or not.
#[test]
fn retained_messages_that_wait_for_memory_need_no_nudge() {
    let mut world = limited(1_000_000);
    let reader = world.connect(&hello(V5, "reader"));
    let subscription = subscribe(V5, "kept/+", QoS::AtLeastOnce);
    world.send(reader, &subscription);
    let writer = world.connect(&hello(V5, "writer"));
    for topic in ["kept/1", "kept/2", "kept/3"] {
        let kept = Publish {
            retain: true,
            ..message(topic, b"x", QoS::AtLeastOnce)
        };
        say(&mut world, writer, &kept);
    }
    for packet_id in 1..=3 {
        world.send(reader, &ack(V5, PacketType::PubAck, packet_id));
    }
    fill(&mut world);
    world.packets(reader);
    world.send(reader, &subscription);
    assert_eq!(world.packets(reader).len(), 2, "SUBACK and one message");
    world.pass(5000);
    assert_eq!(world.packets(reader), [""; 0]);
    world.connect(&hello(V5, "hoarder"));
    world.pass(5000);
    assert_eq!(world.packets(reader).len(), 2, "the others");
}

/// Replays that wait are counted, too.
#[test]
fn replays_that_wait_are_counted() {
    let mut world = World::new(Settings {
        memory_limit: 100_000_000,
        max_inflight_messages: 1,
        max_queued_messages: 1,
        ..Settings::default()
    });
    let writer = world.connect(&hello(V5, "writer"));
    let kept = Publish {
        retain: true,
        ..message("kept/x", b"x", QoS::AtLeastOnce)
    };
    say(&mut world, writer, &kept);
    let reader = world.connect(&hello(V5, "reader"));
    for n in 0..2_000 {
        for filter in [&format!("+/x/{n}/#"), "+/x"] {
            world.send(reader, &subscribe(V5, filter, QoS::AtLeastOnce));
        }
    }
    let id = world.broker.sessions.find("reader").expect("it is here");
    let waiting = world.broker.sessions.get(id).flow.replays.len();
    assert!(waiting > 0);
    world.broker.stats.bytes_received += 1 << 20;
    let before = world.broker.held_bytes();
    world.broker.check_memory();
    let counted = world.broker.held_bytes() - before;
    assert!(counted >= waiting * 200, "{waiting} replays are {counted}");
}

#[test]
fn share_names_are_counted_as_long_as_they_are() {
    let filter = |n: usize| format!("$share/{n:05}{}/a", "x".repeat(59_995));
    let mut world = limited(0);
    let clients = ["a", "b"].map(|id| world.connect(&hello(V5, id)));
    let ask = |world: &mut World, n: usize| {
        for client in clients {
            world.send(client, &subscribe(V5, &filter(n), QoS::AtMostOnce));
            assert_eq!(world.packets(client), ["SUBACK [0]"]);
        }
    };
    ask(&mut world, 0);
    let first = world.broker.held_bytes();
    for n in 1..=10 {
        ask(&mut world, n);
    }
    let held = world.broker.held_bytes() - first;
    assert!((600_000..800_000).contains(&held), "{held}");
    // One of them says that it goes, the other just goes.
    for n in 0..=10 {
        world.send(clients[0], &unsubscribe(V5, &filter(n)));
        assert_eq!(world.packets(clients[0]), ["UNSUBACK [0]"]);
    }
    assert!(world.broker.subscriptions.group_bytes > 11 * 60_000);
    world.cut(clients[1]);
    assert_eq!(world.broker.subscriptions.group_bytes, 0);
}

#[test]
fn members_of_a_share_group_are_counted() {
    let mut world = limited(0);
    let mut clients = Vec::new();
    for n in 0..1000 {
        let client = world.connect(&hello(V5, &format!("c{n}")));
        world.send(client, &subscribe(V5, "$share/g/a", QoS::AtMostOnce));
        clients.push(client);
    }
    assert!(world.broker.subscriptions.group_bytes > 4000);
    for client in clients {
        world.cut(client);
    }
    assert_eq!(world.broker.subscriptions.group_bytes, 0);
}

#[test]
fn a_share_name_that_there_is_no_memory_for_is_refused() {
    let mut world = limited(0);
    let client = world.connect(&hello(V5, "c"));
    world.broker.settings.memory_limit = world.broker.held_bytes() + 100_000;
    // The second would fit without its name, the last one does.
    for (first, len, answer) in [('a', 60_000, 0), ('b', 60_000, 151), ('c', 100, 0)] {
        let filter = format!("$share/{first}{}/a", "x".repeat(len));
        world.send(client, &subscribe(V5, &filter, QoS::AtMostOnce));
        assert_eq!(world.packets(client), [format!("SUBACK [{answer}]")]);
    }
}

/// Small values that grow, one topic after the other, would take any amount.
#[test]
fn a_retained_message_does_not_grow_beyond_the_limit() {
    let mut world = limited(1_000_000);
    let writer = world.connect(&hello(V5, "writer"));
    let topics: Vec<String> = (0..10).map(|n| format!("kept/{n}")).collect();
    let kept = |topic| Publish {
        retain: true,
        ..message(topic, b"small", QoS::AtLeastOnce)
    };
    for topic in &topics {
        assert_eq!(say(&mut world, writer, &kept(topic)), ["PUBACK 7 0x10"]);
    }
    let publisher = fill(&mut world);
    let large = vec![b'x'; 200_000];
    for topic in &topics {
        let publish = Publish {
            payload: &large,
            ..kept(topic)
        };
        assert_eq!(say(&mut world, writer, &publish), ["PUBACK 7 0x97"]);
    }
    assert_eq!(world.broker.retained.count(), 10);
    // Nobody is told of QoS 0, so what was there before is not left to be taken for the truth.
    for topic in &topics {
        let publish = Publish {
            qos: QoS::AtMostOnce,
            packet_id: 0,
            payload: &large,
            ..kept(topic)
        };
        say(&mut world, publisher, &publish);
    }
    let held = world.broker.held_bytes();
    assert!(held < 1_200_000, "{held}");
    assert!(world.broker.retained.count() < 10);
}

/// Each of them is small enough to go on, but they wait for a PUBREL that does not come.
#[test]
fn messages_that_wait_for_pubrel_do_not_pass_the_limit() {
    let mut world = limited(1_000_000);
    let publisher = fill(&mut world);
    let payload = vec![b'x'; 10_000];
    for packet_id in 1..=200 {
        let publish = Publish {
            packet_id,
            ..message("nobody", &payload, QoS::ExactlyOnce)
        };
        say(&mut world, publisher, &publish);
    }
    let held = world.broker.held_bytes();
    assert!(held < 1_200_000, "{held}");
}

/// A reload with a lower limit, or one large message, must not keep out those who come for what
/// waits for them, or nothing would ever become less.
#[test]
fn what_is_held_beyond_the_limit_locks_nobody_out() {
    let mut world = limited(1_000_000);
    fill(&mut world);
    world.broker.settings.memory_limit = 500_000;
    world.broker.check_memory();
    world.connect(&hello(V5, "hoarder"));
    world.connect(&hello(V5, "somebody new"));
    assert!(world.broker.held_bytes() < 500_000);
}
