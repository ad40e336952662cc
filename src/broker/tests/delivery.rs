//! What is sent, and when, where the network takes it in pieces.

use super::*;

const V5: Version = Version::V5;

fn qos1<'a>(topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        qos: QoS::AtLeastOnce,
        packet_id: 77,
        ..qos0(topic, payload)
    }
}

fn qos0<'a>(topic: &'a str, payload: &'a str) -> Publish<'a> {
    Publish {
        topic: topic.as_bytes(),
        payload: payload.as_bytes(),
        ..Publish::default()
    }
}

/// A client whose session stays, subscribed to `#` at QoS 2 if `filter` says so.
fn durable(world: &mut World, properties: &[u8], filter: Option<&str>) -> Client {
    let connect = Connect {
        clean_start: false,
        properties: Properties::from_encoded(properties),
        ..hello(V5, "durable")
    };
    let client = world.connect(&connect);
    if let Some(filter) = filter {
        world.send(client, &subscribe(V5, filter, QoS::ExactlyOnce));
        assert_eq!(world.packets(client), ["SUBACK [2]"]);
    }
    client
}

fn forever() -> Vec<u8> {
    properties(&[(PropertyId::SessionExpiryInterval, u32::MAX)])
}

fn payloads(lines: &[String]) -> Vec<String> {
    let last = |line: &String| line.split(' ').nth(3).unwrap_or("").to_string();
    lines.iter().map(last).collect()
}

#[test]
fn a_message_behind_a_cut_one_is_sent_although_the_window_slid_meanwhile() {
    let mut world = World::new(Settings::default());
    let publisher = world.connect(&hello(V5, "p"));
    let client = durable(&mut world, &forever(), Some("#"));
    for payload in ["1", "2"] {
        world.send(publisher, &publish(V5, &qos1("t", payload)));
    }
    // The second is acknowledged before the first: a hole that the next connection passes.
    world.send(client, &ack(V5, PacketType::PubAck, 2));
    world.cut(client);
    for payload in ["3", "4"] {
        world.send(publisher, &publish(V5, &qos1("t", payload)));
    }
    let forever = forever();
    let connect = Connect {
        clean_start: false,
        properties: Properties::from_encoded(&forever),
        ..hello(V5, "durable")
    };
    let client = world.dial(V5, 0);
    world.links[client].room = 0;
    world.send(client, &bytes(|out| connect.encode(out)));
    // CONNACK of 17 bytes, the first message of 10 bytes, two bytes of the third.
    world.take(client, 17 + 10 + 2);
    assert_eq!(
        world.packets(client),
        ["CONNACK 0x00 true", "PUBLISH q1 't' 1 dup"]
    );
    world.send(client, &ack(V5, PacketType::PubAck, 1));
    world.take(client, usize::MAX);
    assert_eq!(payloads(&world.packets(client)), ["3", "4"]);
}

#[test]
fn a_hole_at_the_end_of_the_window_keeps_nobody_busy() {
    let mut world = World::new(Settings::default());
    let publisher = world.connect(&hello(V5, "p"));
    let client = durable(&mut world, &forever(), Some("#"));
    for payload in ["1", "2"] {
        world.send(publisher, &publish(V5, &qos1("t", payload)));
    }
    world.send(client, &ack(V5, PacketType::PubAck, 2));
    world.cut(client);
    let client = durable(&mut world, &forever(), None);
    assert!(!world.broker.has_writable());
    world.send(client, &ack(V5, PacketType::PubAck, 1));
    world.send(publisher, &publish(V5, &qos1("t", "3")));
    assert_eq!(payloads(&world.packets(client)), ["1", "3"]);
}

#[test]
fn a_replay_without_room_waits_and_goes_on_with_the_acknowledgements() {
    let mut world = World::new(small());
    let client = stuck(&mut world);
    assert!(!world.broker.has_writable());
    assert_eq!(take_all(&mut world, client).len(), 20);
}

#[test]
fn a_client_that_returns_with_a_smaller_receive_maximum_gets_no_more_at_a_time() {
    let mut world = World::new(Settings::default());
    let publisher = world.connect(&hello(V5, "p"));
    let client = durable(&mut world, &forever(), Some("#"));
    for payload in ["1", "2", "3"] {
        world.send(publisher, &publish(V5, &qos1("t", payload)));
    }
    world.cut(client);
    let mut small = forever();
    small.extend(properties(&[(PropertyId::ReceiveMaximum, 1)]));
    let connect = Connect {
        clean_start: false,
        properties: Properties::from_encoded(&small),
        ..hello(V5, "durable")
    };
    let client = world.dial(V5, 0);
    world.send(client, &bytes(|out| connect.encode(out)));
    for n in 1..=3 {
        let lines = world.packets(client);
        assert_eq!(payloads(&lines[lines.len() - 1..]), [n.to_string()]);
        assert_eq!(lines.len(), if n == 1 { 2 } else { 1 }, "{lines:?}");
        world.send(client, &ack(V5, PacketType::PubAck, n));
    }
    assert!(world.packets(client).is_empty());
}

#[test]
fn what_comes_behind_a_cut_message_has_the_time_of_its_own_sending() {
    let mut world = World::new(Settings::default());
    let publisher = world.connect(&hello(V5, "p"));
    let client = world.connect(&hello(V5, "c"));
    world.send(client, &subscribe(V5, "#", QoS::AtMostOnce));
    world.packets(client);
    world.take(client, 3);
    for (payload, seconds) in [("cut", 5), ("expires", 5), ("stays", 100)] {
        let message = Publish {
            expiry_s: Some(seconds),
            ..qos0("t", payload)
        };
        world.send(publisher, &publish(V5, &message));
    }
    world.pass(10_000);
    world.take(client, usize::MAX);
    let lines = world.packets(client);
    assert_eq!(
        lines,
        [
            "PUBLISH q0 't' cut expires 5",
            "PUBLISH q0 't' stays expires 90"
        ]
    );
}

/// A client that says these limits.
fn limited(world: &mut World, limits: &[(PropertyId, u32)]) -> Client {
    let limits = properties(limits);
    let connect = Connect {
        properties: Properties::from_encoded(&limits),
        ..hello(V5, "c")
    };
    world.connect(&connect)
}

/// Memory may become short, or be there again, between two parts of a packet.
#[test]
fn a_cut_packet_goes_on_with_the_alias_that_it_gave_or_did_not() {
    for was_over in [false, true] {
        let mut world = World::new(Settings::default());
        let publisher = world.connect(&hello(V5, "p"));
        let client = limited(&mut world, &[(PropertyId::TopicAliasMaximum, 5)]);
        world.send(client, &subscribe(V5, "#", QoS::AtMostOnce));
        world.packets(client);
        world.broker.ledger.is_over = was_over;
        world.take(client, 3);
        world.send(publisher, &publish(V5, &qos0("t", "cut")));
        world.broker.ledger.is_over = !was_over;
        world.send(publisher, &publish(V5, &qos0("t", "next")));
        world.take(client, usize::MAX);
        let wanted = match was_over {
            false => ["PUBLISH q0 't' cut alias 1", "PUBLISH q0 '' next alias 1"],
            true => ["PUBLISH q0 't' cut", "PUBLISH q0 't' next alias 1"],
        };
        assert_eq!(world.packets(client), wanted);
    }
}

#[test]
fn a_known_alias_does_not_make_a_packet_too_large() {
    let mut world = World::new(Settings::default());
    let publisher = world.connect(&hello(V5, "p"));
    let limits = [
        (PropertyId::MaximumPacketSize, 60),
        (PropertyId::TopicAliasMaximum, 5),
    ];
    let client = limited(&mut world, &limits);
    world.send(client, &subscribe(V5, "#", QoS::AtMostOnce));
    world.packets(client);
    // The alias takes three bytes and saves one: only the shorter of the two has room for it.
    let long = "x".repeat(60 - 6);
    for payload in ["short", &long] {
        world.send(publisher, &publish(V5, &qos0("t", payload)));
    }
    assert!(world.links[client].inbox.len() < 2 * 60);
    let lines = world.packets(client);
    assert_eq!(lines[0], "PUBLISH q0 't' short alias 1");
    assert!(lines[1].starts_with("PUBLISH q0 't' xxx"), "{lines:?}");
    assert!(!lines[1].contains("alias"), "{lines:?}");
}

#[test]
fn every_cut_of_a_mixed_output_gives_the_same_bytes() {
    let run = |piece: usize| {
        let mut world = World::new(Settings::default());
        let publisher = world.connect(&hello(V5, "p"));
        let client = limited(&mut world, &[(PropertyId::TopicAliasMaximum, 2)]);
        world.send(client, &subscribe(V5, "#", QoS::ExactlyOnce));
        world.take(client, 0);
        for (topic, qos) in [("a", 0), ("b", 1), ("a", 2), ("c", 0), ("b", 0), ("c", 1)] {
            let message = Publish {
                qos: QoS::from_bits(qos).expect("0 to 2"),
                packet_id: if qos == 0 { 0 } else { 5 },
                expiry_s: Some(60),
                ..qos0(topic, "payload")
            };
            world.send(publisher, &publish(V5, &message));
            if qos == 2 {
                world.send(publisher, &ack(V5, PacketType::PubRel, 5));
            }
        }
        world.send(client, &[0xc0, 0]);
        let mut before = usize::MAX;
        while piece > 0 && world.links[client].inbox.len() != before {
            before = world.links[client].inbox.len();
            world.take(client, piece);
        }
        world.take(client, usize::MAX);
        (world.links[client].inbox.clone(), world.packets(client))
    };
    let (whole, lines) = run(0);
    assert_eq!(lines.len(), 1 + 1 + 6, "{lines:?}");
    for piece in 1..40 {
        assert_eq!(run(piece).0, whole, "cut every {piece} bytes");
    }
}

/// A client whose window and queue are full of retained messages from `t/#`, more of which wait.
fn stuck(world: &mut World) -> Client {
    let publisher = world.connect(&hello(V5, "p"));
    for n in 0..20 {
        let topic = format!("t/{n}");
        let retained = Publish {
            retain: true,
            ..qos1(&topic, "x")
        };
        world.send(publisher, &publish(V5, &retained));
    }
    let client = world.connect(&hello(V5, "c"));
    world.send(client, &subscribe(V5, "t/#", QoS::AtLeastOnce));
    client
}

/// Acknowledges until nothing more comes; the topics of what came.
fn take_all(world: &mut World, client: Client) -> Vec<String> {
    let (mut topics, mut next_id) = (Vec::new(), 1);
    loop {
        let lines = world.packets(client);
        let before = topics.len();
        let publishes = lines.iter().filter(|line| line.starts_with("PUBLISH"));
        topics.extend(publishes.map(|line| line.split('\'').nth(1).unwrap_or("").to_string()));
        if topics.len() == before {
            topics.sort_unstable();
            return topics;
        }
        for _ in before..topics.len() {
            world.send(client, &ack(V5, PacketType::PubAck, next_id));
            next_id += 1;
        }
    }
}

fn small() -> Settings {
    Settings {
        max_inflight_messages: 2,
        max_queued_messages: 3,
        ..Settings::default()
    }
}

#[test]
fn subscribing_again_and_unsubscribing_end_the_replays_that_wait() {
    let mut world = World::new(small());
    let client = stuck(&mut world);
    let one = subscribe(V5, "t/7", QoS::AtLeastOnce);
    let two = subscribe(V5, "t/8", QoS::AtLeastOnce);
    for _ in 0..1000 {
        world.send(client, &one);
        world.send(client, &two);
        world.send(client, &subscribe(V5, "t/9/#", QoS::AtLeastOnce));
    }
    world.send(client, &unsubscribe(V5, "t/8"));
    let id = world.broker.sessions.find("c").expect("it is connected");
    let waiting = world.broker.sessions.get(id).flow.replays.len();
    assert!(waiting <= 8, "{waiting} replays for four subscriptions");
    let topics = take_all(&mut world, client);
    let times = |topic: &str| topics.iter().filter(|t| *t == topic).count();
    assert_eq!((times("t/7"), times("t/8"), times("t/9")), (2, 1, 2));
    assert_eq!(topics.len(), 20 + 2);
}

#[test]
fn a_shared_subscription_that_ends_leaves_the_replay_of_the_plain_one() {
    let mut world = World::new(small());
    let client = stuck(&mut world);
    world.send(client, &subscribe(V5, "$share/g/t/#", QoS::AtLeastOnce));
    world.send(client, &unsubscribe(V5, "$share/g/t/#"));
    assert_eq!(take_all(&mut world, client).len(), 20);
}

#[test]
fn a_member_of_a_group_that_does_not_read_is_passed_over() {
    let mut world = World::new(Settings {
        max_output_bytes: 1000,
        ..Settings::default()
    });
    let publisher = world.connect(&hello(V5, "p"));
    let members = ["a", "b"].map(|id| world.connect(&hello(V5, id)));
    for member in members {
        world.send(member, &subscribe(V5, "$share/g/t", QoS::AtMostOnce));
        world.packets(member);
    }
    world.take(members[0], 0);
    let payload = "x".repeat(100);
    for _ in 0..100 {
        world.send(publisher, &publish(V5, &qos0("t", &payload)));
    }
    world.take(members[0], usize::MAX);
    let [a, b] = members.map(|member| world.packets(member).len());
    assert_eq!(a + b, 100, "{a} and {b}");
}

/// Small ones are copied, large ones are not: together they come as they were published, whatever
/// the network takes at a time.
#[test]
fn large_and_small_messages_come_whole_and_in_order_however_they_are_cut() {
    for seed in 0..30 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut world = World::new(Settings {
            max_inflight_messages: 0,
            max_output_bytes: 1 << 30,
            ..Settings::default()
        });
        let version = [Version::V31, Version::V311, V5][rng.usize(..3)];
        let publisher = world.connect(&hello(V5, "p"));
        let client = world.connect(&hello(version, "c"));
        world.send(client, &subscribe(version, "#", QoS::AtLeastOnce));
        world.links[client].inbox.clear();
        world.take(client, 0);
        let mut expected = Vec::new();
        let mut packet_id = 0;
        for _ in 0..40 {
            let len = [10, 1000, 15_800, 16_000, 17_000, 60_000][rng.usize(..6)];
            let payload = vec![rng.u8(..); len + rng.usize(..200)];
            let mut message = Publish {
                topic: b"a/topic",
                payload: &payload,
                ..Publish::default()
            };
            if rng.bool() {
                packet_id += 1;
                (message.qos, message.packet_id) = (QoS::AtLeastOnce, packet_id);
            }
            world.send(publisher, &publish(V5, &message));
            message.encode(version, &mut expected);
        }
        while world.links[client].inbox.len() < expected.len() {
            let before = world.links[client].inbox.len();
            world.take(client, [1, 7, 300, 9000, 100_000][rng.usize(..5)]);
            assert!(world.links[client].inbox.len() > before, "seed {seed}");
        }
        assert!(world.links[client].inbox == expected, "seed {seed}");
    }
}
